"""From raw audio to general captions: what experts hear, what is written from it, and what is kept."""
