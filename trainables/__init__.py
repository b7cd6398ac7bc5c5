"""What one trial does: read its images, fine-tune a backbone, encode, score."""
