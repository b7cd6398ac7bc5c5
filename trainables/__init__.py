"""What one trial does: read its images, fine-tune a trunk, encode, score."""
