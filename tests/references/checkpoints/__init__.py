"""What ``torch.save`` wrote, and the script that had it written."""
