"""The layout of SSDLite on MobileNet v2, of TensorFlow's object detection API, with names as `frozen_graph` gives."""

from jaxcv.weights.layouts.table import Layout, Table

_ROOT = 'FeatureExtractor/MobilenetV2/'
# All blocks have numbers in one sequence from 0; the first has none.
_FIRST = {2: 1, 3: 3, 4: 6, 5: 10, 6: 13, 7: 16}
_EXTRA = ((256, 512), (128, 256), (128, 256), (64, 128))


def _conv_norm(ours: str, theirs: str) -> Table:
    return ((f'{ours}/conv', theirs), (f'{ours}/bn', f'{theirs}/BatchNorm'))


def _head(ours: str, theirs: str) -> Table:
    predictor = f'BoxPredictor_{{i-1}}/{theirs}'
    return (
        *_conv_norm(f'{ours}/depthwise{{i}}', f'{predictor}_depthwise'),
        (f'{ours}/predict{{i}}', predictor),
    )


TENSORFLOW_SSDLITE = Layout(
    (
        *_conv_norm('backbone/stem', f'{_ROOT}Conv'),
        *(
            row
            for layer in ('depthwise', 'project')
            for row in _conv_norm(f'backbone/block1_1/{layer}', f'{_ROOT}expanded_conv/{layer}')
        ),
        *(
            row
            for block, first in _FIRST.items()
            for layer in ('expand', 'depthwise', 'project')
            for row in _conv_norm(
                f'backbone/block{block}_{{b}}/{layer}', f'{_ROOT}expanded_conv_{{b+{first - 1}}}/{layer}'
            )
        ),
        *_conv_norm('backbone/top', f'{_ROOT}Conv_1'),
        *(
            row
            for i, (inner, features) in enumerate(_EXTRA, start=1)
            for ours, theirs in (
                (f'neck/extra{i}_reduce', f'layer_19_1_Conv2d_{i + 1}_1x1_{inner}'),
                (f'neck/extra{i}/depthwise', f'layer_19_2_Conv2d_{i + 1}_3x3_s2_{features}_depthwise'),
                (f'neck/extra{i}/pointwise', f'layer_19_2_Conv2d_{i + 1}_3x3_s2_{features}'),
            )
            for row in _conv_norm(ours, _ROOT + theirs)
        ),
        *_head('class_head', 'ClassPredictor'),
        *_head('box_head', 'BoxEncodingPredictor'),
    )
)
