"""Operations on images that components share: windows, borders, channels."""
