"""Images from images: finer ones and cleaner ones, by trained networks and by classical means."""
