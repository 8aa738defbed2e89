"""Photographs of people whose faces are covered in part: what is learnt and measured about covered parts."""
