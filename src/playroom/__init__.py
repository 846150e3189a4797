"""The Playroom: a generated video world with the problem that the paper is about, and a narrator that looks at it."""
