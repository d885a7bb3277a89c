"""The weights of timm 1.0.31: classifiers of ImageNet's 1000 classes.

Those that timm takes from torchvision as they are (`tv_in1k` and `tv2_in1k` of residual networks) stand in
torchvision's table. Crop and resizing are those of timm's `pretrained_cfg`. The accuracies are timm's measurements, at
the image size that stands beside each; for many it is larger than the crop, at which none is published.
"""

from collections.abc import Iterator
from typing import Any

from jaxcv.weights.rows import IMAGENET, INCEPTION, Accuracy, Normalization, Preprocessing, Published
from jaxcv.weights.tables.hashes import sha256_of

LICENCE = 'Apache-2.0'
OF_TORCHVISION = 'BSD-3-Clause'
NON_COMMERCIAL = 'CC-BY-NC-4.0'
RECORDS = 'pytorch-image-models at 0173a13, results/results-imagenet.csv'
RELEASES = 'https://github.com/huggingface/pytorch-image-models/releases/download/'
FOLDERS = {
    '': f'{RELEASES}v0.1-weights/',
    'rsb': f'{RELEASES}v0.1-rsb-weights/',
    'tpu': f'{RELEASES}v0.1-tpu-weights/',
    'gluon': 'https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/gluon_',
    'fb': 'https://dl.fbaipublicfiles.com/semiweaksupervision/model_files/',
    'tv': 'https://download.pytorch.org/models/',
}

# fmt: off
# name, top-1 accuracy; 224, 256, bilinear, IMAGENET, at Hugging Face: torchvision's, with timm's names of arrays
VGG: tuple[tuple[str, float], ...] = (
    ('vgg11.tv_in1k',    69.022),
    ('vgg11_bn.tv_in1k', 70.382),
    ('vgg13.tv_in1k',    69.932),
    ('vgg13_bn.tv_in1k', 71.588),
    ('vgg16.tv_in1k',    71.592),
    ('vgg16_bn.tv_in1k', 73.370),
    ('vgg19.tv_in1k',    72.378),
    ('vgg19_bn.tv_in1k', 74.216),
)

# name, top-1 accuracy, file; 224, 256, bilinear, IMAGENET; Meta's, not for commercial use
META: tuple[tuple[str, float, str], ...] = (
    ('resnet18.fb_ssl_yfcc100m_ft_in1k',         72.594, 'fb/semi_supervised_resnet18-d92f0530.pth'),
    ('resnet18.fb_swsl_ig1b_ft_in1k',            73.282, 'fb/semi_weakly_supervised_resnet18-118f1556.pth'),
    ('resnet50.fb_ssl_yfcc100m_ft_in1k',         79.234, 'fb/semi_supervised_resnet50-08389792.pth'),
    ('resnet50.fb_swsl_ig1b_ft_in1k',            81.182, 'fb/semi_weakly_supervised_resnet50-16a12f1b.pth'),
    ('resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k',  80.338, 'fb/semi_supervised_resnext50_32x4-ddb3e555.pth'),
    ('resnext50_32x4d.fb_swsl_ig1b_ft_in1k',     82.174, 'fb/semi_weakly_supervised_resnext50_32x4-72679e44.pth'),
    ('resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k', 81.606, 'fb/semi_supervised_resnext101_32x8-2cfe2f8b.pth'),
    ('resnext101_32x8d.fb_swsl_ig1b_ft_in1k',    84.302, 'fb/semi_weakly_supervised_resnext101_32x8-b4712904.pth'),
    ('resnext101_32x8d.fb_wsl_ig1b_ft_in1k',     82.698, 'tv/ig_resnext101_32x8-c38310e5.pth'),
)

# name, crop, resize, normalization, top-1 accuracy and the side of its images, file; all bicubic
CLASSIFIERS: tuple[tuple[str, int, int, Normalization, float | None, int | None, str], ...] = (
    ('inception_v3.gluon_in1k',             299, 341, IMAGENET,  78.806, 299, 'hub/inception_v3.gluon_in1k'),
    ('inception_v3.tf_adv_in1k',            299, 341, INCEPTION, 77.592, 299, 'hub/inception_v3.tf_adv_in1k'),
    ('inception_v3.tf_in1k',                299, 341, INCEPTION, 77.862, 299, 'hub/inception_v3.tf_in1k'),
    ('inception_v3.tv_in1k',                299, 341, INCEPTION, 77.434, 299, 'tv/inception_v3_google-1a9a5a14.pth'),
    ('resnet18.a1_in1k',                    224, 235, IMAGENET,  73.158, 288, 'rsb/resnet18_a1_0-d63eafa0.pth'),
    ('resnet18.a2_in1k',                    224, 235, IMAGENET,  72.372, 288, 'rsb/resnet18_a2_0-b61bd467.pth'),
    ('resnet18.a3_in1k',                    160, 168, IMAGENET,  68.254, 224, 'rsb/resnet18_a3_0-40c531c8.pth'),
    ('resnet18.gluon_in1k',                 224, 256, IMAGENET,  70.838, 224, 'gluon/resnet18_v1b-0757602b.pth'),
    ('resnet34.a1_in1k',                    224, 235, IMAGENET,  77.918, 288, 'rsb/resnet34_a1_0-46f8f793.pth'),
    ('resnet34.a2_in1k',                    224, 235, IMAGENET,  77.158, 288, 'rsb/resnet34_a2_0-82d47d71.pth'),
    ('resnet34.a3_in1k',                    160, 168, IMAGENET,  72.970, 224, 'rsb/resnet34_a3_0-a20cabb6.pth'),
    ('resnet34.bt_in1k',                    224, 256, IMAGENET,  76.480, 288, 'resnet34-43635321.pth'),
    ('resnet34.gluon_in1k',                 224, 256, IMAGENET,  74.578, 224, 'gluon/resnet34_v1b-c6d82d59.pth'),
    ('resnet34.ra4_e3600_r224_in1k',        224, 248, INCEPTION, None, None, 'hub/resnet34.ra4_e3600_r224_in1k'),
    ('resnet50.a1_in1k',                    224, 235, IMAGENET,  81.214, 288, 'rsb/resnet50_a1_0-14fe96d1.pth'),
    ('resnet50.a1h_in1k',                   176, 195, IMAGENET,  80.676, 224, 'rsb/resnet50_a1h2_176-001a1197.pth'),
    ('resnet50.a2_in1k',                    224, 235, IMAGENET,  80.772, 288, 'rsb/resnet50_a2_0-a2746f79.pth'),
    ('resnet50.a3_in1k',                    160, 168, IMAGENET,  78.048, 224, 'rsb/resnet50_a3_0-59cae1ef.pth'),
    ('resnet50.am_in1k',                    224, 256, IMAGENET,  78.998, 224, 'resnet50_am-6c502b37.pth'),
    ('resnet50.b1k_in1k',                   224, 235, IMAGENET,  80.706, 288, 'rsb/resnet50_b1k-532a802a.pth'),
    ('resnet50.b2k_in1k',                   224, 235, IMAGENET,  80.454, 288, 'rsb/resnet50_b2k-1ba180c1.pth'),
    ('resnet50.bt_in1k',                    224, 256, IMAGENET,  79.640, 288, 'rw_resnet50-86acaeed.pth'),
    ('resnet50.c1_in1k',                    224, 235, IMAGENET,  80.912, 288, 'rsb/resnet50_c1-5ba5e060.pth'),
    ('resnet50.c2_in1k',                    224, 235, IMAGENET,  80.870, 288, 'rsb/resnet50_c2-d01e05b2.pth'),
    ('resnet50.d_in1k',                     224, 235, IMAGENET,  80.972, 288, 'rsb/resnet50_d-f39db8af.pth'),
    ('resnet50.gluon_in1k',                 224, 256, IMAGENET,  77.580, 224, 'gluon/resnet50_v1b-0ebe02e2.pth'),
    ('resnet50.ra_in1k',                    224, 256, IMAGENET,  79.836, 288, 'resnet50_ra-85ebb6e5.pth'),
    ('resnet50.ram_in1k',                   224, 256, IMAGENET,  79.976, 288, 'resnet50_ram-a26f946b.pth'),
    ('resnet101.a1_in1k',                   224, 235, IMAGENET,  82.322, 288, 'rsb/resnet101_a1_0-cdcb52a9.pth'),
    ('resnet101.a1h_in1k',                  224, 235, IMAGENET,  82.778, 288, 'rsb/resnet101_a1h-36d3f2aa.pth'),
    ('resnet101.a2_in1k',                   224, 235, IMAGENET,  82.236, 288, 'rsb/resnet101_a2_0-6edb36c7.pth'),
    ('resnet101.a3_in1k',                   160, 168, IMAGENET,  79.814, 224, 'rsb/resnet101_a3_0-1db14157.pth'),
    ('resnet101.gluon_in1k',                224, 256, IMAGENET,  79.310, 224, 'gluon/resnet101_v1b-3b017079.pth'),
    ('resnet152.a1_in1k',                   224, 235, IMAGENET,  82.732, 288, 'rsb/resnet152_a1_0-2eee8a7a.pth'),
    ('resnet152.a1h_in1k',                  224, 235, IMAGENET,  83.450, 288, 'rsb/resnet152_a1h-dc400468.pth'),
    ('resnet152.a2_in1k',                   224, 235, IMAGENET,  82.608, 288, 'rsb/resnet152_a2_0-b4c6978f.pth'),
    ('resnet152.a3_in1k',                   160, 168, IMAGENET,  80.546, 224, 'rsb/resnet152_a3_0-134d4688.pth'),
    ('resnet152.gluon_in1k',                224, 256, IMAGENET,  79.694, 224, 'gluon/resnet152_v1b-c1edb0dd.pth'),
    ('resnext50_32x4d.a1_in1k',             224, 235, IMAGENET,  81.466, 288, 'rsb/resnext50_32x4d_a1_0-b5a91a1d.pth'),
    ('resnext50_32x4d.a1h_in1k',            224, 235, IMAGENET,  82.014, 288, 'rsb/resnext50_32x4d_a1h-0146ab0a.pth'),
    ('resnext50_32x4d.a2_in1k',             224, 235, IMAGENET,  81.304, 288, 'rsb/resnext50_32x4d_a2_0-efc76add.pth'),
    ('resnext50_32x4d.a3_in1k',             160, 168, IMAGENET,  79.268, 224, 'rsb/resnext50_32x4d_a3_0-3e450271.pth'),
    ('resnext50_32x4d.gluon_in1k',          224, 256, IMAGENET,  79.360, 224, 'gluon/resnext50_32x4d-e6a097c1.pth'),
    ('resnext50_32x4d.ra_in1k',             224, 256, IMAGENET,  80.698, 288, 'resnext50_32x4d_ra-d733960d.pth'),
    ('resnext101_64x4d.c1_in1k',            224, 235, IMAGENET,  83.156, 288, 'tpu/resnext101_64x4d_c-0d0e0cc0.pth'),
    ('resnext101_64x4d.gluon_in1k',         224, 256, IMAGENET,  80.600, 224, 'gluon/resnext101_64x4d-f9a8e184.pth'),
    ('wide_resnet50_2.racm_in1k',           224, 256, IMAGENET,  82.280, 288, 'wide_resnet50_racm-8234f177.pth'),
    ('mobilenet_v2.ra_in1k',                224, 256, IMAGENET,  72.976, 224, 'mobilenetv2_100_ra-b33bc2c4.pth'),
    ('efficientnet_b0.ra_in1k',             224, 256, IMAGENET,  77.694, 224, 'efficientnet_b0_ra-3dd342df.pth'),
    ('efficientnet_b0.ra4_e3600_r224_in1k', 224, 248, INCEPTION, None, None, 'hub/efficientnet_b0.ra4_e3600_r224_in1k'),
    ('efficientnet_b1.ra4_e3600_r240_in1k', 240, 266, INCEPTION, None, None, 'hub/efficientnet_b1.ra4_e3600_r240_in1k'),
    ('efficientnet_b1.ft_in1k',             224, 256, IMAGENET,  78.800, 256, 'efficientnet_b1-533bc792.pth'),
    ('efficientnet_b2.ra_in1k',             256, 292, IMAGENET,  80.610, 288, 'efficientnet_b2_ra-bcdf34b7.pth'),
    ('efficientnet_b3.ra2_in1k',            288, 329, IMAGENET,  82.242, 320, 'efficientnet_b3_ra2-cf984f9c.pth'),
    ('efficientnet_b4.ra2_in1k',            320, 365, IMAGENET,  83.414, 384, 'efficientnet_b4_ra2_320-7eb33cd5.pth'),
    ('seresnet50.a1_in1k',                  224, 235, IMAGENET,  81.102, 288, 'rsb/seresnet50_a1_0-ffa00869.pth'),
    ('seresnet50.a2_in1k',                  224, 235, IMAGENET,  81.106, 288, 'rsb/seresnet50_a2_0-850de0d9.pth'),
    ('seresnet50.a3_in1k',                  160, 168, IMAGENET,  77.028, 224, 'rsb/seresnet50_a3_0-317ecd56.pth'),
    ('seresnet50.ra2_in1k',                 224, 256, IMAGENET,  81.284, 288, 'seresnet50_ra_224-8efdb4bb.pth'),
    ('seresnext50_32x4d.racm_in1k',         224, 256, IMAGENET,  82.196, 288, 'seresnext50_32x4d_racm-a304a460.pth'),
    ('seresnext50_32x4d.gluon_in1k',        224, 256, IMAGENET,  79.910, 224, 'gluon/seresnext50_32x4d-90cf2d6e.pth'),
    ('mobilenet_v1.ra4_e3600_r224_in1k',    224, 256, INCEPTION, None, None, 'hub/mobilenetv1_100.ra4_e3600_r224_in1k'),
    ('efficientnet_lite0.ra_in1k',          224, 256, IMAGENET,  75.480, 224, 'efficientnet_lite0_ra-37913777.pth'),
    ('tf_efficientnet_lite0.in1k',          224, 256, INCEPTION, 74.830, 224, 'tf_efficientnet_lite0-0aa007d2.pth'),
    ('tf_efficientnet_b0.ns_jft_in1k',      224, 256, IMAGENET,  78.670, 224, 'tf_efficientnet_b0_ns-c0e6a31c.pth'),
    ('tf_efficientnet_b0.aa_in1k',          224, 256, IMAGENET,  76.834, 224, 'tf_efficientnet_b0_aa-827b6e33.pth'),
    ('tf_efficientnet_b0.ap_in1k',          224, 256, INCEPTION, 77.090, 224, 'tf_efficientnet_b0_ap-f262efe1.pth'),
    ('tf_efficientnet_b0.in1k',             224, 256, IMAGENET,  76.532, 224, 'tf_efficientnet_b0-0af12548.pth'),
    ('tf_efficientnet_b1.ns_jft_in1k',      240, 272, IMAGENET,  81.394, 240, 'tf_efficientnet_b1_ns-99dd0c41.pth'),
    ('tf_efficientnet_b1.aa_in1k',          240, 272, IMAGENET,  78.830, 240, 'tf_efficientnet_b1_aa-ea7a6ee0.pth'),
    ('tf_efficientnet_b1.ap_in1k',          240, 272, INCEPTION, 79.280, 240, 'tf_efficientnet_b1_ap-44ef0a3d.pth'),
    ('tf_efficientnet_b1.in1k',             240, 272, IMAGENET,  78.560, 240, 'tf_efficientnet_b1-5c1377c4.pth'),
    ('tf_efficientnet_b2.ns_jft_in1k',      260, 292, IMAGENET,  82.378, 260, 'tf_efficientnet_b2_ns-00306e48.pth'),
    ('tf_efficientnet_b2.aa_in1k',          260, 292, IMAGENET,  80.084, 260, 'tf_efficientnet_b2_aa-60c94f97.pth'),
    ('tf_efficientnet_b2.ap_in1k',          260, 292, INCEPTION, 80.308, 260, 'tf_efficientnet_b2_ap-2f8e7636.pth'),
    ('tf_efficientnet_b2.in1k',             260, 292, IMAGENET,  79.604, 260, 'tf_efficientnet_b2-e393ef04.pth'),
    ('tf_efficientnet_b3.ns_jft_in1k',      300, 331, IMAGENET,  84.056, 300, 'tf_efficientnet_b3_ns-9d44bf68.pth'),
    ('tf_efficientnet_b3.aa_in1k',          300, 331, IMAGENET,  81.644, 300, 'tf_efficientnet_b3_aa-84b4657e.pth'),
    ('tf_efficientnet_b3.ap_in1k',          300, 331, INCEPTION, 81.826, 300, 'tf_efficientnet_b3_ap-aad25bdd.pth'),
    ('tf_efficientnet_b3.in1k',             300, 331, IMAGENET,  80.878, 300, 'tf_efficientnet_b3-e3bd6955.pth'),
    ('tf_efficientnet_b4.ns_jft_in1k',      380, 412, IMAGENET,  85.162, 380, 'tf_efficientnet_b4_ns-d6313a46.pth'),
    ('tf_efficientnet_b4.aa_in1k',          380, 412, IMAGENET,  83.018, 380, 'tf_efficientnet_b4_aa-818f208c.pth'),
    ('tf_efficientnet_b4.ap_in1k',          380, 412, INCEPTION, 83.250, 380, 'tf_efficientnet_b4_ap-dedb23e6.pth'),
    ('tf_efficientnet_b4.in1k',             380, 412, IMAGENET,  82.608, 380, 'tf_efficientnet_b4-74ee3bed.pth'),
    ('tf_efficientnet_b5.ns_jft_in1k',      456, 488, IMAGENET,  86.088, 456, 'tf_efficientnet_b5_ns-6f26d0cf.pth'),
    ('tf_efficientnet_b5.aa_in1k',          456, 488, IMAGENET,  83.688, 456, 'tf_efficientnet_b5_aa-99018a74.pth'),
    ('tf_efficientnet_b5.ap_in1k',          456, 488, INCEPTION, 84.258, 456, 'tf_efficientnet_b5_ap-9e82fae8.pth'),
    ('tf_efficientnet_b5.in1k',             456, 488, IMAGENET,  83.176, 456, 'tf_efficientnet_b5-c6949ce9.pth'),
    ('tf_efficientnet_b5.ra_in1k',          456, 488, IMAGENET,  83.810, 456, 'tf_efficientnet_b5_ra-9a3e5369.pth'),
    ('tf_efficientnet_b6.ns_jft_in1k',      528, 560, IMAGENET,  86.456, 528, 'tf_efficientnet_b6_ns-51548356.pth'),
    ('tf_efficientnet_b6.aa_in1k',          528, 560, IMAGENET,  84.116, 528, 'tf_efficientnet_b6_aa-80ba17e4.pth'),
    ('tf_efficientnet_b6.ap_in1k',          528, 560, INCEPTION, 84.786, 528, 'tf_efficientnet_b6_ap-4ffb161f.pth'),
    ('tf_efficientnet_b7.ns_jft_in1k',      600, 632, IMAGENET,  86.840, 600, 'tf_efficientnet_b7_ns-1dbc32de.pth'),
    ('tf_efficientnet_b7.aa_in1k',          600, 632, IMAGENET,  84.414, 600, 'tf_efficientnet_b7_aa-076e3472.pth'),
    ('tf_efficientnet_b7.ap_in1k',          600, 632, INCEPTION, 85.122, 600, 'tf_efficientnet_b7_ap-ddb28fec.pth'),
    ('tf_efficientnet_b7.ra_in1k',          600, 632, IMAGENET,  84.932, 600, 'tf_efficientnet_b7_ra-6c08e654.pth'),
)
# fmt: on


def rows() -> Iterator[Published]:
    """Yield the rows; the first one of a model is timm's default, where torchvision has no weights of that model."""
    for name, top1 in VGG:
        yield _row(name, Preprocessing(224, 256, 'bilinear', IMAGENET), f'hub/{name}', top1, licence=OF_TORCHVISION)
    for name, top1, file in META:
        yield _row(name, Preprocessing(224, 256, 'bilinear', IMAGENET), file, top1, licence=NON_COMMERCIAL)
    for name, crop, resize, normalization, accuracy, side, file in CLASSIFIERS:
        yield _row(name, Preprocessing(crop, resize, 'bicubic', normalization), file, accuracy, side=side)


def _row(name: str, prepared: Preprocessing, file: str, top1: float | None, **others: Any) -> Published:
    folder, _, rest = file.rpartition('/')
    side, licence = others.get('side') or prepared.crop, others.get('licence', LICENCE)
    hub = f'https://huggingface.co/timm/{rest}/resolve/main/model.safetensors'
    url = hub if folder == 'hub' else FOLDERS[folder] + rest
    accuracy = None if top1 is None else Accuracy(top1, 'top1', 'ImageNet-1k, validation', RECORDS, side)
    row = Published(name, 'timm', url, sha256_of(url), prepared, licence=licence, accuracy=accuracy)
    if name.startswith('inception_v3'):
        return row._replace(options={'aux_heads': False}, parameters=23_834_568)
    return row
