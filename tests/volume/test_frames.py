"""Images of several frames or colours come apart and together again."""

import numpy as np

from napari_medseg.volume import Geometry, Volume
from napari_medseg.volume.frames import frames_of, has_frames, joined

GRID = Geometry((2, 3, 4), np.eye(4))


def test_frames_and_colours():
    data = np.arange(5 * 2 * 3 * 4).reshape(5, 2, 3, 4)
    series = Volume(data, GRID, axes=("time",), axis_values={"time": np.arange(5.0)})
    parts = frames_of(series)
    assert has_frames(series)
    assert len(parts) == 5
    assert not any(has_frames(part) or part.axis_values for part in parts)
    np.testing.assert_array_equal(joined([part.data for part in parts], series), data)
    finer = [np.repeat(part.data, 2, axis=1) for part in parts]
    assert joined(finer, series).shape == (5, 2, 6, 4)
    photo = Volume(np.arange(4 * 5 * 4).reshape(4, 5, 4), None, rgb=True)
    colours = frames_of(photo)
    assert [colour.data.shape for colour in colours] == [(4, 5)] * 3, "what is transparent is left out"
    np.testing.assert_array_equal(joined([colour.data for colour in colours], photo), photo.data[..., :3])
    film = Volume(np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3), Geometry((4, 5), np.eye(4)), rgb=True, axes=("time",))
    np.testing.assert_array_equal(joined([part.data for part in frames_of(film)], film), film.data)
    plain = Volume(data[0], GRID)
    assert frames_of(plain) == [plain]
