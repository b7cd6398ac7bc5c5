"""The Algonauts 2023 layouts of NSD."""
