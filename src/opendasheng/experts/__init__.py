"""Small pretrained models of others, each of which reports one aspect of a clip. They load no torch."""
