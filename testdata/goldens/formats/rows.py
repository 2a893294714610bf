"""The rows that the goldens of this folder are codes of: float32, of 64 channels, fixed for ever."""
import base64, json, pathlib
import numpy as np

FOLDER = pathlib.Path(__file__).parent
CHANNELS = 64


def rows():
    r = np.random.default_rng(19)
    some = [r.standard_normal((24, CHANNELS)) * 10 ** r.uniform(-3, 2, (24, 1))]      # of all sizes
    some.append(r.standard_normal((8, CHANNELS)) * np.where(np.arange(CHANNELS) % 13 == 5, 30, 1))  # with large channels
    some.append(np.abs(r.standard_normal((4, CHANNELS))) + 0.5)                      # of one sign
    some.append(r.integers(-8, 9, (6, CHANNELS)) / 2)                                # with ties
    some.append(r.integers(-255, 256, (6, CHANNELS)) / 1.0)
    some.append(np.full((1, CHANNELS), 0.37))                                        # of equal values
    some.append(np.repeat([[0.0, 1.0]], CHANNELS // 2, axis=1).reshape(1, CHANNELS))
    some.append(r.standard_t(2, (14, CHANNELS)))                                     # with heavy tails
    return np.concatenate(some).astype(np.float32)


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def write(name, golden):
    lines = ",\n".join(json.dumps(k) + ":" + json.dumps(v) for k, v in golden.items())
    (FOLDER / name).write_text("{\n" + lines + "\n}\n")
