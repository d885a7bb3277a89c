"""Folders with objects in the layouts of COCO, Pascal VOC and YOLO, for tests."""

import json

import cv2
import numpy as np

SIZE = (20, 30)
"""(height, width) of the images."""


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def coco(root, images, annotations, categories, *, split='train', place='annotations/instances_{}.json', sizes=True):
    """Write a JSON of COCO and the images that it lists; `images` is {id: file_name}."""
    height, width = SIZE
    given = {'height': height, 'width': width} if sizes else {}
    path = root / place.format(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{'id': id, 'file_name': name, **given} for id, name in images.items()]
    path.write_text(json.dumps({'images': listed, 'annotations': annotations, 'categories': categories}))
    for name in images.values():
        picture(root / split / name.replace('\\', '/'))
    return path


def box(image, bbox, category=1, **more):
    return {'image_id': image, 'category_id': category, 'bbox': bbox, **more}


CATS = [{'id': 1, 'name': 'cat'}]


def voc(root, objects, *, split='train', size=SIZE, **lists):
    """Write the XML and the image of each {stem: [(name, xmin, ymin, xmax, ymax, further elements)]}."""
    for stem, rows in objects.items():
        picture(root / 'JPEGImages' / f'{stem}.png')
        elements = ''
        for name, xmin, ymin, xmax, ymax, *more in rows:
            corners = f'<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>'
            elements += f'<object><name>{name}</name>{"".join(more)}<bndbox>{corners}</bndbox></object>'
        head = f'<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>'
        path = root / 'Annotations' / f'{stem}.xml'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<annotation><filename>elsewhere.jpg</filename>{head}{elements}</annotation>')
    for name, lines in ({split: list(objects)} | lists).items():
        path = root / 'ImageSets' / 'Main' / f'{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(lines) + '\n')


def yolo(root, labels, *, split='train', images='images/{}', texts='labels/{}'):
    """Write the image of each {stem: lines or None}, and the file of its lines where there are any."""
    for stem, lines in labels.items():
        picture(root / images.format(split) / f'{stem}.png')
        path = root / texts.format(split) / f'{stem}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines is not None:
            path.write_text(lines)
