"""From pixels to parameters: analysis by synthesis with a differentiable renderer. Needs torch."""
