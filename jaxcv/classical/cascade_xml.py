"""Cascades in OpenCV's XML: both formats are read, the newer one is written.

The parser resolves no entities and fetches nothing: a file with a document type is refused. A file that says nothing
sensible is refused as a whole, by one message with its name and the place.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import cv2
import numpy as np

from jaxcv.classical.cascade import Cascade
from jaxcv.classical.haar import HaarFeatures
from jaxcv.files import atomically

__all__ = ['load', 'opencv_file', 'save']

OPENCV = Path(cv2.__file__).parent / 'data'
"""The folder of the cascades that come with OpenCV 4; OpenCV 5 has none."""

SMALLEST, LARGEST = 3, 1000
"""Sides of a window in pixels. The normalization leaves out one pixel on each side."""
RECTANGLES = 3
LIMIT = float(np.finfo(np.float32).max)


class _Tree(NamedTuple):
    """One tree as it stands in a file: rows (left, right, feature, threshold), and leaves."""

    nodes: list[tuple[int, int, int, float]]
    leaves: list[float]


def opencv_file(name: str) -> Path:
    """Path of a cascade that comes with OpenCV 4.

    Args:
        name: 'eye' for haarcascade_eye.xml.

    Returns:
        The path, which `load` takes.

    Raises:
        FileNotFoundError: there is no such file, as OpenCV 5 brings no cascades with it.

    Example:
        >>> opencv_file('eye').name
        'haarcascade_eye.xml'
    """
    path = OPENCV / f'haarcascade_{name}.xml'
    if not path.is_file():
        raise FileNotFoundError(
            f'OpenCV {cv2.__version__} comes without {path.name}; OpenCV 4 has 17 cascades: '
            "pip install 'opencv-python-headless<5', or load a file of your own"
        )
    return path


def load(path: str | os.PathLike[str]) -> Cascade:
    """Cascade of a file of OpenCV: of `opencv_traincascade`, `opencv_haartraining`, or of the package itself.

    Args:
        path: of the XML file, such as `opencv_file('eye')`.

    Returns:
        The cascade, with the numbers of the file in float32.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no cascade of Haar-like features: not XML, truncated, with a document type, or with numbers
            out of range. The message names the file, the place, the number that was found and the one expected.

    Example:
        >>> cascade = load(opencv_file('eye'))
        >>> print(cascade.size, len(cascade.stage_thresholds), len(cascade.feature))
        [20 20] 24 1066
    """
    data = Path(path).read_bytes()
    try:
        return _cascade(_parsed(data))
    except ValueError as error:
        raise ValueError(f'{os.fspath(path)} is no cascade that can be read: {error}') from None


def save(cascade: Cascade, path: str | os.PathLike[str]) -> Path:
    """Write a cascade as XML that `cv2.CascadeClassifier` loads.

    Args:
        cascade: features that no tree uses are left out.
        path: of the file, which is replaced once it is complete; its folder exists.

    Returns:
        The path.

    Example:
        >>> import cv2, tempfile
        >>> cascade, path = load(opencv_file('eye')), tempfile.mkdtemp() + '/eye.xml'
        >>> _ = save(cascade, path)
        >>> cv2.CascadeClassifier(path).empty(), all(map(np.array_equal, load(path)[2:], cascade[2:]))
        (False, True)
    """
    with atomically(path) as unfinished:
        unfinished.write_text('\n'.join(_lines(cascade)) + '\n')
    return Path(path)


def _parsed(data: bytes) -> Element:
    """Return the root of an XML document; a document type, in which entities are declared, is an error."""
    if not data.strip():
        raise ValueError('the file is empty')
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(name: str, *_: object) -> None:
        if name.lower() == 'html':
            raise ValueError('it is a web page (HTML): download the file itself ("raw")')
        raise ValueError(f'it declares a document type, {name!r}, and perhaps entities, which no cascade has')

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that Python lacks
        page = ', but a web page (HTML)' if b'<html' in data[:2000].lower() else ''
        start = data[:30].decode('ascii', 'replace')
        raise ValueError(f'it is not complete XML{page}: {error}; it begins with {start!r}') from None
    return builder.close()


def _cascade(root: Element) -> Cascade:
    if root.tag.lower() == 'html':
        raise ValueError('it is a web page (HTML): download the file itself ("raw")')
    found = [child for child in root if child.find('stages') is not None]
    if root.tag != 'opencv_storage' or not found:
        raise ValueError(f'<opencv_storage> should hold an element with <stages>, got <{root.tag}> without')
    newer = found[0].find('features') is not None or found[0].find('stageType') is not None
    size, features, stages, thresholds = (_newer if newer else _older)(found[0])
    return _arrays(size, features, stages, thresholds)


_Parts = tuple[tuple[int, int], list[tuple], list[list[_Tree]], list[float]]
"""(width, height), features (rectangles, weights, tilted), trees of each stage, thresholds of the stages."""


def _newer(cascade: Element) -> _Parts:
    for name, only in (('stageType', 'BOOST'), ('featureType', 'HAAR')):
        if (word := _child(cascade, name).text or '').strip() != only:
            raise ValueError(f'<{name}> should be {only}, got {word.strip()!r}')
    categories = cascade.find('featureParams/maxCatCount')
    if categories is not None and _integer(categories):
        raise ValueError('<maxCatCount> should be 0: Haar-like features have no categories')
    size = _integer(_child(cascade, 'width')), _integer(_child(cascade, 'height'))
    _check_size(size)
    features = [_feature(item, size, f'feature {i}') for i, item in enumerate(_child(cascade, 'features'))]
    stages, thresholds = [], []
    for i, stage in enumerate(_child(cascade, 'stages')):
        weak = list(_child(stage, 'weakClassifiers', f'stage {i}'))
        _check_count(stage.find('maxWeakCount'), len(weak), f'stage {i}: <maxWeakCount>')
        stages.append([_newer_tree(tree, len(features), f'stage {i}, tree {j}') for j, tree in enumerate(weak)])
        thresholds.append(_real(_child(stage, 'stageThreshold', f'stage {i}')))
    _check_count(cascade.find('stageNum'), len(stages), '<stageNum>')
    return size, features, stages, thresholds


def _newer_tree(tree: Element, features: int, place: str) -> _Tree:
    numbers = _numbers(_child(tree, 'internalNodes', place), float, place)
    leaves = _numbers(_child(tree, 'leafValues', place), float, place)
    if not numbers or len(numbers) % 4:
        raise ValueError(f'{place}: a node has 4 numbers (left, right, feature, threshold), got {len(numbers)} in all')
    rows = []
    for i in range(0, len(numbers), 4):
        whole = [_whole(number, place) for number in numbers[i : i + 3]]
        if not 0 <= whole[2] < features:
            raise ValueError(f'{place}: feature {whole[2]} is none of the {features} features')
        rows.append((whole[0], whole[1], whole[2], numbers[i + 3]))
    _check_tree(rows, len(leaves), place)
    return _Tree(rows, leaves)


def _older(cascade: Element) -> _Parts:
    numbers = _numbers(_child(cascade, 'size'), int)
    if len(numbers) != 2:
        raise ValueError(f'<size> should be a width and a height, got {len(numbers)} numbers')
    size = (numbers[0], numbers[1])
    _check_size(size)
    features: list[tuple] = []
    stages, thresholds = [], []
    for i, stage in enumerate(_child(cascade, 'stages')):
        trees = _child(stage, 'trees', f'stage {i}')
        stages.append([_older_tree(tree, features, size, f'stage {i}, tree {j}') for j, tree in enumerate(trees)])
        thresholds.append(_real(_child(stage, 'stage_threshold', f'stage {i}')))
    return size, features, stages, thresholds


def _older_tree(tree: Element, features: list[tuple], size: tuple[int, int], place: str) -> _Tree:
    """Return a tree; its features are added to the list."""
    rows: list[tuple[int, int, int, float]] = []
    leaves: list[float] = []
    for node in tree:
        children = []
        for side in ('left', 'right'):
            inner, leaf = node.find(f'{side}_node'), node.find(f'{side}_val')
            if inner is not None:
                children.append(_integer(inner))
            elif leaf is not None:
                children.append(-len(leaves))
                leaves.append(_real(leaf))
            else:
                raise ValueError(f'{place}: a node should have <{side}_val> or <{side}_node>')
        rows.append((children[0], children[1], len(features), _real(_child(node, 'threshold', place))))
        features.append(_feature(_child(node, 'feature', place), size, place))
    _check_tree(rows, len(leaves), place)
    return _Tree(rows, leaves)


def _feature(feature: Element, size: tuple[int, int], place: str) -> tuple[list, list, bool]:
    """Return the rectangles, the weights and whether they are tilted, filled up to three."""
    flag = feature.find('tilted')
    tilted = flag is not None and bool(_integer(flag))
    boxes, weights = [], []
    for rectangle in _child(feature, 'rects', place):
        numbers = _numbers(rectangle, float, place)
        if len(numbers) != 5:
            raise ValueError(f'{place}: a rectangle has 5 numbers (x y width height weight), got {len(numbers)}')
        box = [_whole(number, place) for number in numbers[:4]]
        _check_box(box, tilted, size, place)
        boxes.append(box)
        weights.append(numbers[4])
    if not 1 <= len(boxes) <= RECTANGLES:
        raise ValueError(f'{place}: a feature has 1 to {RECTANGLES} rectangles, got {len(boxes)}')
    absent = RECTANGLES - len(boxes)
    return boxes + [[0] * 4] * absent, weights + [0.0] * absent, tilted


def _check_size(size: tuple[int, int]) -> None:
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise ValueError(f'a window has {SMALLEST} to {LARGEST} pixels on a side, got {size[0]} x {size[1]}')


def _check_box(box: Sequence[int], tilted: bool, size: tuple[int, int], place: str) -> None:
    x, y, w, h = box
    left, right, bottom = (x - h, x + w, y + w + h) if tilted else (x, x + w, y + h)
    if min(x, y) < 0 or min(w, h) < 1 or left < 0 or right > size[0] or bottom > size[1]:
        kind = 'tilted rectangle' if tilted else 'rectangle'
        raise ValueError(f'{place}: the {kind} {x} {y} {w} {h} is not inside the window of {size[0]} x {size[1]}')


def _check_count(stated: Element | None, found: int, name: str) -> None:
    if stated is not None and (count := _integer(stated)) != found:
        raise ValueError(f'{name} says {count}, but there are {found}')


def _check_tree(rows: Sequence[tuple[int, int, int, float]], leaves: int, place: str) -> None:
    """Raise a ValueError unless each node and each leaf is reached from the root by one way."""
    open_nodes = [0]
    seen: list[int] = []
    while open_nodes and len(seen) <= 2 * len(rows):
        for child in rows[open_nodes.pop()][:2]:
            seen.append(child)
            if 0 < child < len(rows):
                open_nodes.append(child)
    expected = sorted([*range(-len(rows), 1), *range(1, len(rows))])
    if leaves != len(rows) + 1 or sorted(seen) != expected:
        raise ValueError(
            f'{place}: {len(rows)} nodes and {leaves} leaves are no tree, in which each node but the root, and each of '
            f'{len(rows) + 1} leaves, is the child of one node'
        )


def _child(element: Element, name: str, place: str = '') -> Element:
    child = element.find(name)
    if child is None:
        raise ValueError(f'{place}{": " if place else ""}<{element.tag}> has no <{name}>')
    return child


def _integer(element: Element) -> int:
    return _only(_numbers(element, int), element.tag)


def _real(element: Element) -> float:
    return _only(_numbers(element, float), element.tag)


def _only(numbers: list[Any], tag: str) -> Any:
    if len(numbers) != 1:
        raise ValueError(f'<{tag}> should be one number, got {len(numbers)}')
    return numbers[0]


def _numbers(element: Element, kind: type, place: str = '') -> list[Any]:
    """Return the numbers in an element's text; finite in float32."""
    found = []
    where = f'{place}{": " if place else ""}<{element.tag}>'
    for word in (element.text or '').split():
        shown = word if len(word) < 30 else f'{word[:30]}...'
        try:
            found.append(kind(word if '_' not in word else ''))  # 1_000 is a number in Python alone
        except ValueError:
            raise ValueError(f'{where} should hold numbers, got {shown!r}') from None
        if not abs(found[-1]) < LIMIT:
            raise ValueError(f'{where} should hold finite numbers, got {shown!r}')
    return found


def _whole(number: float, place: str) -> int:
    if number != int(number) or abs(number) > 2**24:
        raise ValueError(f'{place}: expected a whole number, got {number:g}')
    return int(number)


def _arrays(
    size: tuple[int, int], features: Sequence[tuple], stages: Sequence[Sequence[_Tree]], thresholds: Sequence[float]
) -> Cascade:
    if not stages or not all(stages):
        raise ValueError('a cascade has at least one stage, and each stage at least one tree')
    trees = [tree for stage in stages for tree in stage]
    most = max(len(tree.nodes) for tree in trees)
    nodes = np.zeros((len(trees), most, 4))
    leaves = np.zeros((len(trees), most + 1), np.float32)
    for i, tree in enumerate(trees):
        nodes[i, : len(tree.nodes)] = tree.nodes
        leaves[i, : len(tree.leaves)] = tree.leaves
    left, right, feature = (nodes[..., i].astype(np.int32) for i in range(3))
    boxes, weights, tilted = zip(*features, strict=True)
    return Cascade(
        np.array(size, np.int32),
        HaarFeatures(np.array(boxes, np.int32), np.array(weights, np.float32), np.array(tilted, bool)),
        feature,
        nodes[..., 3].astype(np.float32),
        left,
        right,
        leaves,
        np.repeat(np.arange(len(stages), dtype=np.int32), [len(stage) for stage in stages]),
        np.array(thresholds, np.float32),
    )


def _lines(cascade: Cascade) -> Iterator[str]:
    """Yield the lines of a file in the newer format."""
    _, features, feature, threshold, left, right, leaves, stage, thresholds = cascade
    feature, threshold, left, right, leaves, stage = map(np.asarray, (feature, threshold, left, right, leaves, stage))
    counts = 1 + np.sum((left > 0).astype(int) + (right > 0), axis=1)
    real = np.arange(feature.shape[1]) < counts[:, None]
    used, renumbered = np.unique(feature[real], return_inverse=True)
    numbers = np.zeros_like(feature)
    numbers[real] = renumbered
    sizes = np.bincount(stage, minlength=len(thresholds))
    yield '<?xml version="1.0"?>\n<opencv_storage>\n<cascade type_id="opencv-cascade-classifier">'
    yield '<stageType>BOOST</stageType>\n<featureType>HAAR</featureType>'
    yield f'<height>{cascade.size[1]}</height>\n<width>{cascade.size[0]}</width>'
    yield f'<stageParams>\n<maxWeakCount>{sizes.max()}</maxWeakCount></stageParams>'
    yield f'<featureParams>\n<maxCatCount>0</maxCatCount></featureParams>\n<stageNum>{len(thresholds)}</stageNum>'
    yield '<stages>'
    for i, least in enumerate(np.asarray(thresholds)):
        yield f'<_>\n<maxWeakCount>{sizes[i]}</maxWeakCount>\n<stageThreshold>{_text(least)}</stageThreshold>'
        yield '<weakClassifiers>'
        for tree in np.flatnonzero(stage == i):
            nodes = [
                f'{left[tree, node]} {right[tree, node]} {numbers[tree, node]} {_text(threshold[tree, node])}'
                for node in range(counts[tree])
            ]
            votes = ' '.join(_text(leaf) for leaf in leaves[tree, : counts[tree] + 1])
            yield f'<_>\n<internalNodes>\n{" ".join(nodes)}</internalNodes>'
            yield f'<leafValues>\n{votes}</leafValues></_>'
        yield '</weakClassifiers></_>'
    yield '</stages>\n<features>'
    boxes, weights, tilted = (np.asarray(part)[used] for part in features)
    for rectangles, factors, turned in zip(boxes, weights, tilted, strict=True):
        yield '<_>\n<rects>'
        for box, factor in zip(rectangles, factors, strict=True):
            if factor:
                yield f'<_>\n{" ".join(map(str, box))} {_text(factor)}</_>'
        yield f'</rects>\n<tilted>{int(turned)}</tilted></_>'
    yield '</features></cascade>\n</opencv_storage>'


def _text(number: np.float32) -> str:
    """Return the number with the digits that any parser reads back as the same float32."""
    return f'{float(number):.16e}'
