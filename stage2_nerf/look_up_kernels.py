"""Look-ups in feature planes and displacement grids as compiled loops over points, for the CPU.

All channels of a texel lie side by side, so a corner of an interpolation is one short load; `grid_sample`, whose
channels lie a whole picture apart, touches one line of the cache for every single number. Each loop has its
hand-written backward pass. Gradients of tables are summed point after point, by one thread for each part of a table:
two equal runs give equal bits, on however many threads.

Points outside of [-1, 1] see the outermost texels. A position that is not a number gives features that are none.
Tables are flat here; what they hold is said where they are looked up (`plane_look_up`, `deformation`). Offsets are
unsigned: signed ones could count from the end, and every load would be preceded by a check for that.
"""

import numpy as np

from stage2_nerf.kernels import kernel


@kernel
def place(coordinate, size):
    """The texel below a coordinate in [-1, 1] along a side, the step to the next one, and how far it is on the way."""
    highest = np.float32(size - 1)
    steps = (coordinate + np.float32(1)) * np.float32(0.5) * highest
    if steps < 0:
        steps = np.float32(0)
    elif steps > highest:
        steps = highest
    # What is not a number is larger than nothing, and so finds the first texel.
    low = min(np.int64(steps), max(size - 2, 0)) if steps > 0 else np.int64(0)
    return np.uint64(low), np.uint64(min(size - 1, 1)), steps - np.float32(low)


@kernel
def steps_per_unit(coordinate, size):
    """How many texels a move by 1 along this coordinate covers: none outside of [-1, 1]."""
    return np.float32(0.5) * np.float32(size - 1) if -1 < coordinate < 1 else np.float32(0)


@kernel
def corners_of_texel(positions, point, plane, start, size, channels):
    """Offsets of the four texels around a point in one of its planes, and how far it is between them."""
    across, down = (0, 1) if plane == 0 else ((0, 2) if plane == 1 else (1, 2))
    column, right, along_x = place(positions[point, across], size)
    row, below, along_y = place(positions[point, down], size)
    side, width = np.uint64(size), np.uint64(channels)
    first = start + ((np.uint64(plane) * side + row) * side + column) * width
    third = first + below * side * width
    return first, first + right * width, third, third + right * width, along_x, along_y


@kernel
def planes_forward(start, stop, positions, frame, table, channels, size, frame_stride, features, column):
    """Look points `start` to `stop` up in three planes, into the columns of `features` from `column` on.

    Args:
        start, stop: the points.
        positions: [points, 3] in [-1, 1].
        frame: [points], the frame whose planes each point sees.
        table: [frames * 3 * size * size * channels], in this order; channels are a multiple of four.
        channels, size: features of a texel, texels along a side.
        frame_stride: numbers from one frame's planes to the next one's; 0 where there is only one.
        features: [points, columns].
        column: where the first plane's features go; the others' follow.
    """
    width = np.uint64(channels)
    flat = features.reshape(-1)
    for point in range(start, stop):
        page = np.uint64(frame[point]) * np.uint64(frame_stride)
        target = np.uint64(point) * np.uint64(features.shape[1]) + np.uint64(column)
        for plane in range(3):
            a, b, c, d, x, y = corners_of_texel(positions, point, plane, page, size, channels)
            share_d = x * y
            share_b, share_c = x - share_d, y - share_d
            share_a = np.float32(1) - x - share_c
            for group in range(channels // 4):
                # Four sums before the first is stored: a store could change what is loaded next, for all the compiler
                # knows.
                i = np.uint64(4 * group)
                j, k, l = i + np.uint64(1), i + np.uint64(2), i + np.uint64(3)  # noqa: E741
                first = (
                    share_a * table[a + i] + share_b * table[b + i] + share_c * table[c + i] + share_d * table[d + i]
                )
                second = (
                    share_a * table[a + j] + share_b * table[b + j] + share_c * table[c + j] + share_d * table[d + j]
                )
                third = (
                    share_a * table[a + k] + share_b * table[b + k] + share_c * table[c + k] + share_d * table[d + k]
                )
                fourth = (
                    share_a * table[a + l] + share_b * table[b + l] + share_c * table[c + l] + share_d * table[d + l]
                )
                flat[target + i] = first
                flat[target + j] = second
                flat[target + k] = third
                flat[target + l] = fourth
            target += width


@kernel
def planes_backward(
    plane, positions, frame, table, channels, size, frame_stride, gradient, column, table_gradient, moves
):
    """One plane's part of the gradients, of all points.

    Args:
        plane: which of the three.
        positions, frame, table, channels, size, frame_stride, column: as `planes_forward`.
        gradient: [points, columns], of the features.
        table_gradient: as the table, is added to; empty where it is not wanted.
        moves: [points, 2], the gradient by the plane's two coordinates, is written to; empty where it is not wanted.
    """
    flat = gradient.reshape(-1)
    table_wanted, moves_wanted = len(table_gradient) > 0, len(moves) > 0
    across, down = (0, 1) if plane == 0 else ((0, 2) if plane == 1 else (1, 2))
    for point in range(len(positions)):
        page = np.uint64(frame[point]) * np.uint64(frame_stride)
        a, b, c, d, x, y = corners_of_texel(positions, point, plane, page, size, channels)
        source = np.uint64(point) * np.uint64(gradient.shape[1]) + np.uint64(column + plane * channels)
        if table_wanted:
            share_d = x * y
            share_b, share_c = x - share_d, y - share_d
            share_a = np.float32(1) - x - share_c
            for group in range(channels // 4):
                i = np.uint64(4 * group)
                j, k, l = i + np.uint64(1), i + np.uint64(2), i + np.uint64(3)  # noqa: E741
                pull_i, pull_j, pull_k, pull_l = flat[source + i], flat[source + j], flat[source + k], flat[source + l]
                for corner in range(4):
                    at, share = (
                        ((a, share_a) if corner == 0 else (b, share_b))
                        if corner < 2
                        else ((c, share_c) if corner == 2 else (d, share_d))
                    )
                    first, second = table_gradient[at + i] + share * pull_i, table_gradient[at + j] + share * pull_j
                    third, fourth = table_gradient[at + k] + share * pull_k, table_gradient[at + l] + share * pull_l
                    table_gradient[at + i] = first
                    table_gradient[at + j] = second
                    table_gradient[at + k] = third
                    table_gradient[at + l] = fourth
        if moves_wanted:
            at_a, at_b, at_c, at_d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for i in range(np.uint64(channels)):
                pull = flat[source + i]
                at_a += pull * table[a + i]
                at_b += pull * table[b + i]
                at_c += pull * table[c + i]
                at_d += pull * table[d + i]
            upper, lower, left, right = at_b - at_a, at_d - at_c, at_c - at_a, at_d - at_b
            along_x = upper + y * (lower - upper)
            along_y = left + x * (right - left)
            moves[point, 0] = along_x * steps_per_unit(positions[point, across], size)
            moves[point, 1] = along_y * steps_per_unit(positions[point, down], size)


@kernel
def warp_forward(start, stop, positions, frame, displacement, size, low, scale, canonical):
    """Carry points `start` to `stop` from observed space to canonical space.

    Args:
        start, stop: the points.
        positions: [points, 3], observed.
        frame: [points], the frame that each point is observed in.
        displacement: [frames * size * size * size * 3], in this order, z before y before x.
        size: voxels along a side.
        low, scale: [3], the box's lowest corner and two over its sides.
        canonical: [points, 3], in [-1, 1] within the box, is written to.
    """
    one = np.float32(1)
    side = np.uint64(size)
    for point in range(start, stop):
        x = (positions[point, 0] - low[0]) * scale[0] - one
        y = (positions[point, 1] - low[1]) * scale[1] - one
        z = (positions[point, 2] - low[2]) * scale[2] - one
        i, right, along_x = place(x, size)
        j, below, along_y = place(y, size)
        k, behind, along_z = place(z, size)
        moved_x, moved_y, moved_z = np.float32(0), np.float32(0), np.float32(0)
        page = np.uint64(frame[point]) * side
        for corner in range(8):
            column, share = (i + right, along_x) if corner & 1 else (i, one - along_x)
            row, share_y = (j + below, along_y) if corner & 2 else (j, one - along_y)
            layer, share_z = (k + behind, along_z) if corner & 4 else (k, one - along_z)
            share = share * share_y * share_z
            offset = (((page + layer) * side + row) * side + column) * np.uint64(3)
            moved_x += share * displacement[offset]
            moved_y += share * displacement[offset + np.uint64(1)]
            moved_z += share * displacement[offset + np.uint64(2)]
        canonical[point, 0] = x + moved_x * scale[0]
        canonical[point, 1] = y + moved_y * scale[1]
        canonical[point, 2] = z + moved_z * scale[2]


@kernel
def warp_backward_displacement(part, parts, positions, frame, size, low, scale, gradient, displacement_gradient):
    """Add the displacement's gradient in every `parts`-th frame from `part` on; as `warp_forward`, of all points."""
    one = np.float32(1)
    side = np.uint64(size)
    for point in range(len(positions)):
        if frame[point] % parts != part:
            continue
        i, right, along_x = place((positions[point, 0] - low[0]) * scale[0] - one, size)
        j, below, along_y = place((positions[point, 1] - low[1]) * scale[1] - one, size)
        k, behind, along_z = place((positions[point, 2] - low[2]) * scale[2] - one, size)
        pull_x, pull_y = gradient[point, 0] * scale[0], gradient[point, 1] * scale[1]
        pull_z = gradient[point, 2] * scale[2]
        page = np.uint64(frame[point]) * side
        for corner in range(8):
            column, share = (i + right, along_x) if corner & 1 else (i, one - along_x)
            row, share_y = (j + below, along_y) if corner & 2 else (j, one - along_y)
            layer, share_z = (k + behind, along_z) if corner & 4 else (k, one - along_z)
            share = share * share_y * share_z
            offset = (((page + layer) * side + row) * side + column) * np.uint64(3)
            displacement_gradient[offset] += share * pull_x
            displacement_gradient[offset + np.uint64(1)] += share * pull_y
            displacement_gradient[offset + np.uint64(2)] += share * pull_z


@kernel
def warp_backward_positions(start, stop, positions, frame, displacement, size, low, scale, gradient, position_gradient):
    """Write the gradient of positions `start` to `stop`; as `warp_forward`, with `gradient` for `canonical`."""
    one = np.float32(1)
    side = np.uint64(size)
    for point in range(start, stop):
        x = (positions[point, 0] - low[0]) * scale[0] - one
        y = (positions[point, 1] - low[1]) * scale[1] - one
        z = (positions[point, 2] - low[2]) * scale[2] - one
        i, right, along_x = place(x, size)
        j, below, along_y = place(y, size)
        k, behind, along_z = place(z, size)
        pull_x, pull_y = gradient[point, 0] * scale[0], gradient[point, 1] * scale[1]
        pull_z = gradient[point, 2] * scale[2]
        slope_x, slope_y, slope_z = np.float32(0), np.float32(0), np.float32(0)
        page = np.uint64(frame[point]) * side
        for corner in range(8):
            column, share_x, sign_x = (i + right, along_x, one) if corner & 1 else (i, one - along_x, -one)
            row, share_y, sign_y = (j + below, along_y, one) if corner & 2 else (j, one - along_y, -one)
            layer, share_z, sign_z = (k + behind, along_z, one) if corner & 4 else (k, one - along_z, -one)
            offset = (((page + layer) * side + row) * side + column) * np.uint64(3)
            pulled = pull_x * displacement[offset]
            pulled += pull_y * displacement[offset + np.uint64(1)] + pull_z * displacement[offset + np.uint64(2)]
            slope_x += sign_x * share_y * share_z * pulled
            slope_y += sign_y * share_x * share_z * pulled
            slope_z += sign_z * share_x * share_y * pulled
        position_gradient[point, 0] = pull_x + slope_x * steps_per_unit(x, size) * scale[0]
        position_gradient[point, 1] = pull_y + slope_y * steps_per_unit(y, size) * scale[1]
        position_gradient[point, 2] = pull_z + slope_z * steps_per_unit(z, size) * scale[2]
