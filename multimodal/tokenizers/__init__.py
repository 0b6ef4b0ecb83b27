"""Raw modality to `Tokens`: images, audio, text, and the transforms that bring files into the form they expect."""
