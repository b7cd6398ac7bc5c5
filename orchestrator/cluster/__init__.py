"""Warm worker groups: how many there are, what they serve, and who watches them."""
