"""dlib's .dat files of networks and shape predictors, read without dlib and without running anything in them.

dlib writes values one after another, without names. An integer is one byte (the count of bytes in its low four bits,
the sign in its top bit) and as many bytes, little-endian; a text is its length and its letters; a float of a shape
predictor is a mantissa and an exponent of 2, two integers. Of a network, each layer begins with the name of its kind
and version; a tensor is its version 2, four sizes, and raw float32.

    con_4     tensor of the filters [out, in, rows, columns] and the biases; filters, rows, columns, strides, paddings
    affine_   tensor of the scales and the biases
    fc_2      outputs, inputs, tensor [inputs, outputs]

A length is compared with what is left of the file before it is used.
"""

from pathlib import Path

import numpy as np

from jaxcv.classical.shape_predictor import ShapePredictor

LAYERS = {b'con_': 'con_4', b'affine_': 'affine_', b'fc_': 'fc_2'}
"""The kinds of layers with weights, by the beginning of their names: the version that is read."""
BETWEEN = 4096
"""Bytes between the weights of one layer and the name of the next, at most; a few hundred in dlib's files."""
MOST_BYTES = 8
"""Bytes of an integer."""
INFINITE = 32_000
"""Exponents from here on stand for infinity and NaN."""


class Damaged(ValueError):
    """A file that is not as dlib writes it."""


class _Cursor:
    """A place in the bytes of a file."""

    def __init__(self, data: bytes, at: int = 0):
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self.data) - self.at:
            raise Damaged(f'it ends within {count} bytes that begin at {self.at}')
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        (head,) = self.take(1)
        count = head & 15
        if head & 0x70 or not 0 < count <= MOST_BYTES:
            raise Damaged(f'there is no number at byte {self.at - 1}')
        value = int.from_bytes(self.take(count), 'little')
        return -value if head & 0x80 else value

    def tensor(self) -> np.ndarray:
        if (version := self.integer()) != 2:
            raise Damaged(f'there is a tensor of version {version} at byte {self.at}, not 2')
        sizes = [self.integer() for _ in range(4)]
        if min(sizes) < 0:
            raise Damaged(f'a tensor has the sizes {sizes}')
        count = sizes[0] * sizes[1] * sizes[2] * sizes[3]
        return np.frombuffer(self.take(4 * count), '<f4').reshape(sizes)


def is_one(path: Path) -> bool:
    """Whether a file begins as dlib's networks and shape predictors do.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / 'weights.dat'
        >>> path.write_bytes(b'PK')
        2
        >>> is_one(path)
        False
    """
    with path.open('rb') as file:
        head = file.read(64)
    return _is_network(head) or _is_shape_predictor(head)


def _is_network(head: bytes) -> bool:
    return head[:2] == b'\x01\x01' and b'loss_' in head[:64]


def _is_shape_predictor(head: bytes) -> bool:
    """Version 1, then the sizes of the mean shape, which are written as negative numbers, and its first mantissa."""
    return head[:3] in (b'\x01\x01\x81', b'\x01\x01\x82') and b'loss_' not in head


def read_network(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of a network.

    Args:
        path: the file, such as dlib_face_recognition_resnet_model_v1.dat.

    Returns:
        The arrays of the convolutions, affine maps and dense layers, each kind counted from the input on: 'con0.weight'
        [out, in, rows, columns], 'con0.bias', 'affine0.weight', 'affine0.bias', 'fc0.weight' [out, in].

    Raises:
        ValueError: the file is damaged, or holds no network, or one with layers of other versions.
    """
    data = path.read_bytes()
    try:
        return _network(data)
    except Damaged as error:
        raise _refused(path, str(error)) from None


def _network(data: bytes) -> dict[str, np.ndarray]:
    if _is_shape_predictor(data[:64]):
        raise Damaged('it is a shape predictor, which weights.read_shape_predictor reads')
    if not _is_network(data[:64]):
        raise Damaged('it does not begin as a network of dlib does')
    cursor, arrays, counts = _Cursor(data), dict[str, np.ndarray](), dict[str, int]()
    while (found := _next_layer(data, cursor.at)) is not None:
        name, cursor.at = found
        kind, wanted = next((kind, full) for kind, full in LAYERS.items() if name.startswith(kind))
        if name.decode() != wanted:
            raise Damaged(f'it has a layer {name.decode()}, of which the version {wanted} is read')
        layer = f'{kind.decode()[:-1]}{counts.setdefault(wanted, 0)}'
        counts[wanted] += 1
        arrays |= {f'{layer}.{leaf}': value for leaf, value in _layer(wanted, cursor).items()}
    if not arrays:
        raise Damaged('it has no layers with weights')
    if not counts.get('fc_2'):
        raise Damaged('it ends before the last layer')
    return arrays


def _next_layer(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The name of the next layer with weights and the place after it."""
    area = data[start : start + BETWEEN]
    places = {at: kind for kind in LAYERS if (at := _of_text(area, kind)) >= 0}
    if not places:
        return None
    at = min(places)
    length = area[at - 1]
    return area[at : at + length], start + at + length


def _of_text(area: bytes, kind: bytes) -> int:
    """The place of a text that begins so: before it stands its length, as one byte after a count of one."""
    at = area.find(kind)
    while at >= 0 and not (at >= 2 and area[at - 2] == 1 and len(kind) <= area[at - 1] <= len(kind) + 2):
        at = area.find(kind, at + 1)
    return at


def _layer(name: str, cursor: _Cursor) -> dict[str, np.ndarray]:
    if name == 'affine_':
        scales, biases = np.array_split(cursor.tensor().ravel(), 2)
        return {'weight': scales, 'bias': biases}
    if name == 'fc_2':
        outputs, inputs = cursor.integer(), cursor.integer()
        values = cursor.tensor().ravel()
        if values.size != outputs * inputs:
            raise Damaged(f'a dense layer of {inputs} inputs and {outputs} outputs has {values.size} weights')
        return {'weight': values.reshape(inputs, outputs).T}
    values = cursor.tensor().ravel()
    filters, rows, columns = (cursor.integer() for _ in range(3))
    if min(filters, rows, columns) < 1 or values.size % filters or (values.size // filters - 1) % (rows * columns):
        raise Damaged(f'a convolution of {filters} filters of {rows} x {columns} has {values.size} weights')
    kernels, biases = values[:-filters], values[-filters:]
    return {'weight': kernels.reshape(filters, -1, rows, columns), 'bias': biases}


def read_shape_predictor(path: Path) -> ShapePredictor:
    """Read a cascade of regression trees that finds landmarks.

    Args:
        path: the file, such as shape_predictor_5_face_landmarks.dat.

    Returns:
        The arrays, for `classical.shape_predictor.predict`.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    data = path.read_bytes()
    try:
        if _is_network(data[:64]):
            raise Damaged('it is a network, which weights.load reads')
        if not _is_shape_predictor(data[:64]):
            raise Damaged('it does not begin as a shape predictor of dlib does')
        return _shape_predictor(_Numbers(_integers(data)))
    except Damaged as error:
        raise _refused(path, str(error)) from None


def _integers(data: bytes) -> np.ndarray:
    """Decode a file that holds integers only."""
    places, at, end = [], 0, len(data)
    while at < end:
        places.append(at)
        at += 1 + (data[at] & 15)
    if at != end:
        raise Damaged('its end is missing')
    raw = np.frombuffer(data + bytes(MOST_BYTES), np.uint8)
    heads = np.array(places)
    counts = raw[heads] & 15
    if (raw[heads] & 0x70).any() or counts.min() < 1 or counts.max() > MOST_BYTES:
        raise Damaged('it does not hold numbers only')
    values = np.zeros(len(heads), np.int64)
    for i in range(counts.max()):
        values |= np.where(i < counts, raw[heads + 1 + i].astype(np.int64) << (8 * i), 0)
    return np.where(raw[heads] & 0x80, -values, values)


class _Numbers:
    """The integers of a file, read in turn."""

    def __init__(self, values: np.ndarray):
        self.values = values
        self.at = 0

    def take(self, count: int) -> np.ndarray:
        if count < 0 or count > len(self.values) - self.at:
            raise Damaged(f'it should hold {count} more numbers, and has {len(self.values) - self.at}')
        self.at += count
        return self.values[self.at - count : self.at]

    def one(self) -> int:
        return int(self.take(1)[0])

    def alike(self, count: int) -> np.ndarray:
        """As many lists of one length, each after its length, `[count, length]`."""
        length = int(self.values[self.at]) if self.at < len(self.values) else 0
        table = self.take(count * (1 + length)).reshape(count, 1 + length)
        if (table[:, 0] != length).any():
            raise Damaged('its lists differ in their lengths')
        return table[:, 1:]


def _shape_predictor(numbers: _Numbers) -> ShapePredictor:
    numbers.one()  # the version
    rows, columns = -numbers.one(), -numbers.one()
    if rows < 2 or rows % 2 or columns != 1:
        raise Damaged(f'its mean shape is of {rows} x {columns} values')
    initial = _floats(numbers.take(2 * rows)).reshape(-1, 2)
    cascades = numbers.one()
    forests = [_forest(numbers, rows) for _ in range(cascades)]
    if cascades < 1 or len({tuple(part.shape for part in forest) for forest in forests}) > 1:
        raise Damaged('its forests differ in their sizes')
    first, second, thresholds, leaves = (np.stack(parts) for parts in zip(*forests, strict=True))
    if numbers.one() != cascades:
        raise Damaged('it has not as many sets of pixels as forests')
    anchors = numbers.alike(cascades)
    if numbers.one() != cascades:
        raise Damaged('it has not as many sets of pixels as forests')
    pixels = anchors.shape[1]
    deltas = np.stack([_floats(_after_length(numbers, pixels, 4)).reshape(pixels, 2) for _ in range(cascades)])
    if numbers.at != len(numbers.values):
        raise Damaged('something follows its end')
    if not _within(anchors, len(initial)) or not _within(first, pixels) or not _within(second, pixels):
        raise Damaged('a number of a landmark or a pixel is out of range')
    integers = (part.astype(np.int32) for part in (first, second, anchors))
    first, second, anchors = integers
    return ShapePredictor(initial, anchors, deltas, first, second, thresholds, leaves)


def _forest(numbers: _Numbers, values: int) -> tuple[np.ndarray, ...]:
    """Read the trees of a forest: both pixels and the threshold of each split, and the leaves."""
    count = numbers.one()
    splits = int(numbers.values[numbers.at]) if numbers.at < len(numbers.values) else 0
    leaves = splits + 1
    each = 1 + 4 * splits + 1 + leaves * (2 + 2 * values)
    if count < 1 or splits < 1 or leaves & splits:
        raise Damaged(f'a forest has {count} trees of {splits} splits')
    table = numbers.take(count * each).reshape(count, each)
    ends = table[:, 1 + 4 * splits]
    shapes = table[:, 2 + 4 * splits :].reshape(count, leaves, -1)
    if (table[:, 0] != splits).any() or (ends != leaves).any() or (shapes[..., :2] != (-values, -1)).any():
        raise Damaged('the trees of a forest differ in their sizes')
    nodes = table[:, 1 : 1 + 4 * splits].reshape(count, splits, 4)
    return nodes[..., 0], nodes[..., 1], _floats(nodes[..., 2:])[..., 0], _floats(shapes[..., 2:])


def _after_length(numbers: _Numbers, count: int, each: int) -> np.ndarray:
    if (length := numbers.one()) != count:
        raise Damaged(f'it has {length} places of pixels, and {count} landmarks for them')
    return numbers.take(count * each)


def _within(numbers: np.ndarray, end: int) -> bool:
    return bool((numbers >= 0).all() and (numbers < end).all())


def _floats(pairs: np.ndarray) -> np.ndarray:
    """The floats of mantissas and exponents, in turn along the last axis."""
    mantissas, exponents = pairs[..., ::2], pairs[..., 1::2]
    if exponents.size and np.abs(exponents).max() >= INFINITE:
        raise Damaged('a number is infinite or NaN')
    return np.ldexp(mantissas.astype(np.float64), exponents).astype(np.float32)


def _refused(path: Path, reason: str) -> ValueError:
    return ValueError(
        f'{path} is refused: {reason}. Nothing in it was run. Networks and shape predictors are read as dlib 18 to 20 '
        'write them; if the file was downloaded or copied, it may be cut: get it again'
    )
