"""Which vertices of MediaPipe's mesh go where in ARKit's expressions, written by hand.

Names and meanings are those of Apple's ARKit, `ARFaceAnchor.BlendShapeLocation`; directions follow the muscles that the
Facial Action Coding System (Ekman & Friesen, 1978) gives for the same movements. A muscle draws skin toward where it is
fixed: squinting skin goes to the inner corner of the eye, a frown's corner down and outward. The edge of a lip rolls
about the line at which the lips meet, and the line stays. What moves a corner of the mouth moves cheek and chin, too.
"""

LEFT_UPPER_LID = (466, 388, 387, 386, 385, 384, 398)
LEFT_LOWER_LID = (249, 390, 373, 374, 380, 381, 382)
LEFT_LID_CORNERS = (263, 362)
LEFT_BROW_INNER = (285, 336, 295, 296)
LEFT_BROW_OUTER = (276, 300, 283, 293)
LEFT_BROW_MIDDLE = (282, 334)
LEFT_LID_POUCH = (339, 254, 253, 252, 448, 449, 450, 451)
LEFT_CROWS_FEET = (359, 446, 261, 340, 265)
LEFT_UNDER_EYE = (346, 347, 348, 349)
LEFT_CHEEKBONE = (280, 330, 352)
LEFT_MID_CHEEK = (425, 411, 427, 436)
LEFT_LOWER_CHEEK = (432, 434, 416)
LEFT_NASOLABIAL = (371, 266, 423, 426)
LEFT_ABOVE_LIP = (391, 322)
LEFT_AROUND_CORNER = (287, 410, 273)
LEFT_BELOW_CORNER = (422, 424, 335, 430)
LEFT_BELOW_LIP = (406, 313)
LEFT_CHIN_SIDE = (418, 431, 262, 395)
LEFT_NOSE_SIDE = (355, 277, 437, 420, 343, 350)
LEFT_NOSE_WING = (278, 294, 279, 331)
LEFT_MOUTH_CORNER = (291, 308, 306, 292)
UPPER_LIP_LEFT = (267, 269, 270, 312, 311, 310)
UPPER_LIP_MIDDLE = (0, 13)
UPPER_LIP_RIGHT = (37, 39, 40, 82, 81, 80)
RIGHT_MOUTH_CORNER = (61, 78, 76, 62)
LOWER_LIP_LEFT = (314, 405, 321, 317, 402, 318)
LOWER_LIP_MIDDLE = (17, 14)
LOWER_LIP_RIGHT = (84, 181, 91, 87, 178, 88)
UPPER_BORDER_LEFT = (267, 269, 270, 409)
UPPER_INSIDE_LEFT = (312, 311, 310, 415)
LOWER_BORDER_LEFT = (314, 405, 321, 375)
LOWER_INSIDE_LEFT = (317, 402, 318, 324)
UPPER_LIP = UPPER_LIP_LEFT + UPPER_LIP_MIDDLE + UPPER_LIP_RIGHT
LOWER_LIP = LOWER_LIP_LEFT + LOWER_LIP_MIDDLE + LOWER_LIP_RIGHT
MOUTH_OPENING_PAIRS = (
    (13, 14),
    (312, 317),
    (311, 402),
    (310, 318),
    (415, 324),
    (82, 87),
    (81, 178),
    (80, 88),
    (191, 95),
)
CHIN = (152, 148, 377, 175, 199, 200, 176, 400)
LEFT_JAW_LINE = (377, 400, 378, 379, 365)
RIGHT_JAW_LINE = (148, 176, 149, 150, 136)
EARS = (234, 454)
NOSE_BASE = (2, 97, 326)
NOSE_TIP = (1, 4, 5, 19)
BELOW_LIP_MIDDLE = (18,)
CHIN_PAD = (200, 199, 421, 428, 201, 208)
LEFT_IRIS = (473, 474, 475, 476, 477)

Handles = dict[tuple[int, ...], tuple[float, float, float]]
"""Vertices, and by how many centimetres they move: x to the person's left, y up, z out of the face."""

WRITTEN: dict[str, tuple[Handles, float]] = {
    "browDownLeft": (
        {
            LEFT_BROW_INNER: (-0.3, -0.4, 0.1),
            LEFT_BROW_MIDDLE: (-0.25, -0.35, 0.05),
            LEFT_BROW_OUTER: (-0.25, -0.25, 0.05),
        },
        3.0,
    ),
    "browInnerUp": ({LEFT_BROW_INNER: (0.05, 0.65, 0.0)}, 2.8),
    "browOuterUpLeft": ({LEFT_BROW_OUTER: (0.0, 0.75, -0.05), LEFT_BROW_MIDDLE: (0.0, 0.6, 0.0)}, 2.6),
    "cheekPuff": ({(425, 411, 427, 416, 434, 280): (0.8, 0.0, 0.8), UPPER_LIP + LOWER_LIP: (0, 0, 0.5)}, 3.2),
    "cheekSquintLeft": (
        {
            LEFT_LID_POUCH: (0.0, 0.25, 0.05),
            LEFT_CROWS_FEET: (-0.1, 0.15, 0.0),
            LEFT_UNDER_EYE: (0.0, 0.45, 0.1),
            LEFT_CHEEKBONE: (0.0, 0.5, 0.15),
            LEFT_MID_CHEEK: (0.05, 0.4, 0.1),
            LEFT_MOUTH_CORNER: (0.1, 0.15, 0.0),
        },
        2.8,
    ),
    "eyeSquintLeft": (
        {
            LEFT_LOWER_LID: (-0.12, 0.15, 0.0),
            LEFT_LID_POUCH: (-0.18, 0.2, 0.05),
            LEFT_CROWS_FEET: (-0.25, 0.1, 0.05),
            LEFT_UNDER_EYE: (-0.18, 0.22, 0.05),
            LEFT_CHEEKBONE: (-0.12, 0.15, 0.05),
            LEFT_UPPER_LID: (0.0, -0.03, 0.0),
        },
        2.4,
    ),
    "eyeWideLeft": ({LEFT_UPPER_LID: (0.0, 0.25, 0.0), LEFT_LOWER_LID: (0.0, -0.05, 0.0)}, 1.2),
    "mouthDimpleLeft": (
        {
            LEFT_MOUTH_CORNER: (0.4, 0.2, -0.5),
            LEFT_AROUND_CORNER: (0.3, 0.1, -0.3),
            LEFT_BELOW_CORNER: (0.2, 0.35, -0.1),
            LEFT_CHIN_SIDE: (0.12, 0.25, 0.0),
            LEFT_LOWER_CHEEK: (0.1, 0.1, 0.0),
            LEFT_NASOLABIAL: (0.15, -0.1, -0.1),
        },
        2.8,
    ),
    "mouthFrownLeft": (
        {
            LEFT_MOUTH_CORNER: (0.25, -0.65, -0.15),
            LEFT_AROUND_CORNER: (0.2, -0.6, -0.1),
            LEFT_BELOW_CORNER: (0.15, -0.35, 0.0),
            LEFT_ABOVE_LIP: (0.08, -0.3, -0.05),
            LEFT_NASOLABIAL: (0.05, -0.25, 0.0),
        },
        3.0,
    ),
    "mouthFunnel": (
        {
            LEFT_MOUTH_CORNER: (-0.9, 0.0, 0.35),
            UPPER_LIP: (0.0, 0.3, 0.7),
            LOWER_LIP: (0.0, -0.45, 0.65),
            LEFT_AROUND_CORNER: (-0.5, 0.0, 0.3),
            LEFT_LOWER_CHEEK: (-0.25, 0.0, 0.05),
            BELOW_LIP_MIDDLE: (0.0, -0.35, 0.25),
        },
        3.2,
    ),
    "mouthLeft": (
        {
            LEFT_MOUTH_CORNER + RIGHT_MOUTH_CORNER + UPPER_LIP + LOWER_LIP: (1.3, 0.0, 0.1),
            NOSE_TIP: (0.2, 0.0, 0.0),
            CHIN_PAD: (0.4, 0.0, 0.0),
        },
        4.5,
    ),
    "mouthLowerDownLeft": (
        {
            LOWER_BORDER_LEFT: (0.1, -0.5, 0.05),
            LOWER_INSIDE_LEFT: (0.05, -0.4, 0.05),
            LOWER_LIP_MIDDLE: (0.03, -0.25, 0.05),
            LOWER_LIP_RIGHT: (0.0, -0.05, 0.0),
            LEFT_MOUTH_CORNER: (0.05, -0.1, 0.0),
            LEFT_BELOW_LIP: (0.12, -0.5, 0.0),
            LEFT_BELOW_CORNER: (0.2, -0.35, 0.0),
            LEFT_CHIN_SIDE: (0.15, -0.3, 0.0),
        },
        2.2,
    ),
    "mouthPressLeft": (
        {
            UPPER_BORDER_LEFT: (0.0, -0.15, -0.05),
            UPPER_INSIDE_LEFT + LOWER_INSIDE_LEFT: (0.0, 0.0, -0.1),
            LOWER_BORDER_LEFT: (0.0, 0.2, -0.05),
            LEFT_MOUTH_CORNER: (0.1, -0.05, -0.15),
            LEFT_BELOW_LIP: (0.0, 0.25, 0.0),
            LEFT_BELOW_CORNER: (0.05, 0.25, 0.0),
            LEFT_CHIN_SIDE: (0.0, 0.25, 0.0),
        },
        2.6,
    ),
    "mouthPucker": (
        {
            LEFT_MOUTH_CORNER: (-0.65, 0.0, 0.6),
            UPPER_LIP_LEFT: (-0.3, 0.0, 0.75),
            LOWER_LIP_LEFT: (-0.3, 0.05, 0.7),
            UPPER_LIP_MIDDLE + LOWER_LIP_MIDDLE: (0.0, 0.0, 0.75),
            LEFT_AROUND_CORNER: (-0.5, 0.0, 0.4),
            LEFT_LOWER_CHEEK: (-0.3, 0.0, 0.05),
            LEFT_NASOLABIAL: (-0.15, -0.05, 0.1),
            LEFT_BELOW_CORNER: (-0.25, 0.05, 0.3),
        },
        3.2,
    ),
    "mouthRollLower": (
        {
            (17, *LOWER_BORDER_LEFT): (0.0, 0.5, -0.2),
            (14, *LOWER_INSIDE_LEFT): (0.0, 0.0, -0.45),
            LEFT_MOUTH_CORNER: (-0.15, 0.0, -0.1),
            BELOW_LIP_MIDDLE + LEFT_BELOW_LIP: (0.0, 0.4, 0.0),
            CHIN_PAD: (0.0, 0.2, 0.0),
        },
        2.6,
    ),
    "mouthRollUpper": (
        {
            (0, *UPPER_BORDER_LEFT): (0.0, -0.35, -0.35),
            (13, *UPPER_INSIDE_LEFT): (0.0, 0.0, -0.5),
            LEFT_MOUTH_CORNER: (-0.1, 0.0, -0.15),
            (164, *LEFT_ABOVE_LIP): (0.0, -0.3, -0.1),
        },
        2.4,
    ),
    "mouthShrugLower": ({LOWER_LIP: (0.0, 0.6, 0.25), BELOW_LIP_MIDDLE + CHIN_PAD: (0.0, 0.65, 0.1)}, 2.6),
    "mouthShrugUpper": ({UPPER_LIP: (0.0, 0.4, 0.15)}, 1.8),
    "mouthSmileLeft": (
        {
            LEFT_MOUTH_CORNER: (0.8, 0.9, -0.65),
            LEFT_AROUND_CORNER: (0.7, 0.8, -0.45),
            LEFT_LOWER_CHEEK: (0.4, 0.55, -0.1),
            LEFT_MID_CHEEK: (0.2, 0.55, 0.15),
            LEFT_NASOLABIAL: (0.2, 0.45, 0.1),
            LEFT_UNDER_EYE: (0.0, 0.3, 0.2),
            LEFT_CHEEKBONE: (0.0, 0.35, 0.2),
            LEFT_BELOW_CORNER: (0.35, 0.5, -0.15),
            LEFT_CHIN_SIDE: (0.2, 0.2, -0.05),
        },
        2.8,
    ),
    "mouthStretchLeft": (
        {
            LEFT_MOUTH_CORNER: (0.85, -0.2, -0.5),
            LEFT_AROUND_CORNER: (0.75, -0.2, -0.4),
            LEFT_LOWER_CHEEK: (0.4, -0.05, -0.1),
            LEFT_BELOW_CORNER: (0.5, -0.1, -0.2),
            LEFT_NASOLABIAL: (0.3, -0.2, -0.1),
            LEFT_CHIN_SIDE: (0.25, 0.0, -0.05),
        },
        2.8,
    ),
    "mouthUpperUpLeft": (
        {
            UPPER_LIP_LEFT: (0.1, 0.6, 0.05),
            UPPER_LIP_MIDDLE: (0.0, 0.3, 0.0),
            UPPER_LIP_RIGHT: (0.0, 0.05, 0.0),
            LEFT_MOUTH_CORNER: (-0.05, 0.3, 0.05),
            LEFT_ABOVE_LIP: (0.1, 0.6, 0.05),
            LEFT_NASOLABIAL: (0.1, 0.5, 0.1),
            LEFT_NOSE_WING: (0.05, 0.25, 0.0),
        },
        2.4,
    ),
    "noseSneerLeft": (
        {
            LEFT_NOSE_WING: (0.05, 0.65, 0.05),
            LEFT_NOSE_SIDE: (0.0, 0.45, 0.1),
            NOSE_TIP: (0.0, 0.2, 0.0),
            LEFT_NASOLABIAL: (0.0, 0.55, 0.1),
            LEFT_ABOVE_LIP: (0.0, 0.5, 0.0),
            UPPER_LIP_LEFT: (0.0, 0.4, 0.0),
            LEFT_MOUTH_CORNER: (0.0, 0.3, 0.0),
            LEFT_UNDER_EYE: (0.0, 0.3, 0.1),
            LEFT_CHEEKBONE: (0.0, 0.3, 0.1),
            LEFT_MID_CHEEK: (0.0, 0.35, 0.05),
            LEFT_BELOW_CORNER: (0.0, 0.2, 0.0),
            LEFT_LOWER_LID: (0.0, 0.1, 0.0),
            LEFT_UPPER_LID: (0.0, 0.0, 0.0),
            LEFT_BROW_INNER: (-0.15, -0.2, 0.05),
        },
        2.4,
    ),
}
"""Handles of the left and middle expressions at coefficient 1, and how many centimetres around them skin moves, too.
Of those without a side only what is on the left and in the middle is written."""
