"""The sampler's walk as one compiled loop over rays, for the CPU.

It gives what `ProxySampler.walk` gives with tensors, and is tested against it. It is faster because a ray's walk stays
in registers, because steps through cells where nothing can be are skipped without looking anything up.

It does not end where the proxy lets no light through any more: the proxy holds the highest density of late, and the
field's surface may lie deeper. Rays end where the fields themselves say so: `volume_rendering.used_up`.
"""

import math

import numpy as np
from jaxtyping import Bool, Float32, Int64

from stage2_nerf.kernels import in_slices, kernel

CELLS_ALONG = 24
"""About how many cells along a side `possible_cells` divides the box into."""


def walk_and_draw(
    origins: Float32[np.ndarray, "rays 3"],
    directions: Float32[np.ndarray, "rays 3"],
    frame: Int64[np.ndarray, "rays"],
    box: Float32[np.ndarray, "2 3"],
    displacement: Float32[np.ndarray, "frames d h w 3"],
    density: Float32[np.ndarray, "depth height width"],
    possible: Bool[np.ndarray, "frames cells_z cells_y cells_x"],
    walk_steps: int,
    least_density: float,
    least_opacity: float,
    end: Float32[np.ndarray, "rays"],
    uniform_share: float,
    shares: Float32[np.ndarray, "rays samples+1"],
) -> tuple[Bool[np.ndarray, "rays"], Float32[np.ndarray, "rays samples+1"]]:
    """Walk every ray and draw its samples.

    Args:
        origins: in the field's observed space.
        directions: of unit length.
        frame: which displacement each ray sees.
        box: of the field.
        displacement: from observed to canonical space, in scene units, on a grid over the box.
        density: the proxy's, per scene unit, on a grid over the box.
        possible: cells that the observed box is divided into; false where no step can find density.
        walk_steps: even steps of the walk through the box.
        least_density: what is no more than this counts as nothing.
        least_opacity: what the walk must find a ray's opacity to exceed for the ray to be sampled.
        end: distance beyond which each ray sees nothing.
        uniform_share: share of the samples spread evenly over the steps that may hold something.
        shares: where between 0 and 1 of its mass each ray's edges are, increasing along the ray.

    Returns:
        Which rays met the proxy, and their edges; those of the others are undefined.
    """
    hit = np.zeros(len(origins), np.bool_)
    edges = np.empty(shares.shape, np.float32)

    def some(start: int, stop: int) -> None:
        walk_some(
            start,
            stop,
            origins,
            directions,
            frame,
            box,
            displacement.reshape(-1),
            displacement.shape[1:4],
            density.reshape(-1),
            density.shape,
            possible,
            walk_steps,
            np.float32(least_density),
            np.float32(least_opacity),
            end,
            np.float32(uniform_share),
            shares,
            hit,
            edges,
        )

    in_slices(some, len(origins))
    return hit, edges


@kernel
def walk_some(
    start,
    stop,
    origins,
    directions,
    frame,
    box,
    displacement,
    sides,
    density,
    nodes,
    possible,
    walk_steps,
    least_density,
    least_opacity,
    end,
    uniform_share,
    shares,
    hit,
    edges,
):
    """The rays from `start` to `stop` of `walk_and_draw`."""
    found = np.zeros(walk_steps, np.float32)
    weight = np.zeros(walk_steps, np.float32)
    mass = np.zeros(walk_steps, np.float32)
    one = np.float32(1)
    for ray in range(start, stop):
        enter, leave = cross_box(origins, directions, ray, box)
        if not leave > enter:
            continue
        step = (leave - enter) / np.float32(walk_steps)
        transmittance = walk_ray(
            origins, directions, ray, frame[ray], enter, step, box, displacement, sides, density, nodes, possible,
            least_density, end[ray], found, weight,
        )  # fmt: skip
        if not one - transmittance > least_opacity:
            continue
        hit[ray] = True
        spread_mass(found, weight, uniform_share, mass)
        draw(mass, enter, step, shares, ray, edges)


@kernel
def cross_box(origins, directions, ray, box):
    """Where a ray enters and leaves the box; see `proxy_sampler.intersect_box`."""
    enter, leave = np.float32(1e-3), np.float32(1e30)
    for axis in range(3):
        along = directions[ray, axis]
        if abs(along) < np.float32(1e-9):
            along = np.float32(1e-9)
        inverse = np.float32(1) / along
        first = (box[0, axis] - origins[ray, axis]) * inverse
        second = (box[1, axis] - origins[ray, axis]) * inverse
        enter = max(enter, min(first, second))
        leave = min(leave, max(first, second))
    return enter, leave


@kernel
def walk_ray(
    origins, directions, ray, moment, enter, step, box, displacement, sides, density, nodes, possible, least_density,
    end, found, weight,
):  # fmt: skip
    """Fill `found` with the density at every step and `weight` with what each adds to the ray; what light is left."""
    one = np.float32(1)
    steps = len(found)
    cells_z, cells_y, cells_x = possible.shape[1:]
    scale_x = one / (box[1, 0] - box[0, 0])
    scale_y = one / (box[1, 1] - box[0, 1])
    scale_z = one / (box[1, 2] - box[0, 2])
    transmittance = one
    for i in range(steps):
        found[i] = 0
        weight[i] = 0
        distance = enter + (np.float32(i) + np.float32(0.5)) * step
        if not distance < end:
            continue
        x = origins[ray, 0] + distance * directions[ray, 0]
        y = origins[ray, 1] + distance * directions[ray, 1]
        z = origins[ray, 2] + distance * directions[ray, 2]
        u = (x - box[0, 0]) * scale_x
        v = (y - box[0, 1]) * scale_y
        w = (z - box[0, 2]) * scale_z
        cell_x = np.uint64(min(max(int(u * np.float32(cells_x)), 0), cells_x - 1))
        cell_y = np.uint64(min(max(int(v * np.float32(cells_y)), 0), cells_y - 1))
        cell_z = np.uint64(min(max(int(w * np.float32(cells_z)), 0), cells_z - 1))
        if not possible[moment, cell_z, cell_y, cell_x]:
            continue
        moved_x, moved_y, moved_z = look_up_vector(displacement, moment, sides, u, v, w)
        value = look_up(
            density,
            nodes,
            (x + moved_x - box[0, 0]) * scale_x,
            (y + moved_y - box[0, 1]) * scale_y,
            (z + moved_z - box[0, 2]) * scale_z,
        )
        if value > least_density:
            found[i] = value
            passed = np.float32(math.exp(-value * step))
            weight[i] = transmittance * (one - passed)
            transmittance *= passed
    return transmittance


def possible_cells(
    box: Float32[np.ndarray, "2 3"],
    displacement: Float32[np.ndarray, "frames d h w 3"],
    occupied: Int64[np.ndarray, "depth+1 height+1 width+1"],
) -> Bool[np.ndarray, "frames cells_z cells_y cells_x"]:
    """Cells of the observed box in which a step may find density: the occupied ones, posed.

    A displacement is linear along each axis within a cell of its grid, so its extremes over a part of that cell are
    among the part's corners. Where those carry the cell to is a box in canonical space; nothing in that box, nothing in
    the cell. The answer is never wrong in the direction that would lose density.

    Args:
        box: of the field.
        displacement: as for `walk_and_draw`.
        occupied: how many nodes of the proxy before each index, in all three axes, may count (a summed-volume table).
    """
    frames, depth, height, width = displacement.shape[:4]
    parts = max(1, round(CELLS_ALONG / (width - 1)))
    flat = displacement.reshape(-1)
    possible = np.empty((frames, (depth - 1) * parts, (height - 1) * parts, (width - 1) * parts), np.bool_)
    for moment in range(frames):

        def some(start: int, stop: int, moment: int = moment) -> None:
            pose_some(start, stop, box, flat, moment, displacement.shape[1:4], occupied, possible[moment])

        in_slices(some, possible.shape[1], smallest=4)
    return possible


@kernel
def pose_some(start, stop, box, displacement, moment, sides, occupied, possible):
    """The slices from `start` to `stop` of `possible_cells`, of one frame."""
    one = np.float32(1)
    cells = possible.shape
    nodes = (occupied.shape[0] - 1, occupied.shape[1] - 1, occupied.shape[2] - 1)
    side = (
        np.float32(one / cells[2]) * (box[1, 0] - box[0, 0]),
        np.float32(one / cells[1]) * (box[1, 1] - box[0, 1]),
        np.float32(one / cells[0]) * (box[1, 2] - box[0, 2]),
    )
    # The displacement at the corners of a row of cells, of which each cell needs the lowest and the highest.
    low = np.empty((cells[2] + 1, 3), np.float32)
    high = np.empty((cells[2] + 1, 3), np.float32)
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(start, stop):
        for j in range(cells[1]):
            for i in range(cells[2] + 1):
                for corner in range(4):
                    moved = look_up_vector(
                        displacement,
                        moment,
                        sides,
                        np.float32(i / cells[2]),
                        np.float32((j + corner % 2) / cells[1]),
                        np.float32((k + corner // 2) / cells[0]),
                    )
                    for axis in range(3):
                        low[i, axis] = moved[axis] if corner == 0 else min(low[i, axis], moved[axis])
                        high[i, axis] = moved[axis] if corner == 0 else max(high[i, axis], moved[axis])
            for i in range(cells[2]):
                index = (i, j, k)
                for axis in range(3):
                    extent = box[1, axis] - box[0, axis]
                    scale = np.float32(nodes[2 - axis] - 1) / extent
                    start_of_cell = index[axis] * side[axis]
                    begin = (start_of_cell + min(low[i, axis], low[i + 1, axis])) * scale
                    to = (start_of_cell + side[axis] + max(high[i, axis], high[i + 1, axis])) * scale
                    first[axis] = min(max(math.floor(begin - np.float32(1e-3)), 0), nodes[2 - axis])
                    last[axis] = min(max(math.floor(to + np.float32(1e-3)) + 2, 0), nodes[2 - axis])
                possible[k, j, i] = count_within(occupied, first, last) > 0


@kernel
def count_within(table, first, last):
    """How many are between two corners, by a summed-volume table (Crow 1984, in three dimensions)."""
    x0, y0, z0, x1, y1, z1 = first[0], first[1], first[2], last[0], last[1], last[2]
    if x1 <= x0 or y1 <= y0 or z1 <= z0:
        return 0
    return (
        table[z1, y1, x1] - table[z0, y1, x1] - table[z1, y0, x1] - table[z1, y1, x0]
        + table[z0, y0, x1] + table[z0, y1, x0] + table[z1, y0, x0] - table[z0, y0, x0]
    )  # fmt: skip


@kernel
def place(fraction, nodes):
    """The node below a fraction of a side, and how far the fraction is from it to the next."""
    along = min(max(fraction, np.float32(0)), np.float32(1)) * np.float32(nodes - 1)
    below = min(int(along), nodes - 2)
    return np.uint64(below), along - np.float32(below)


@kernel
def look_up_vector(flat, page, shape, u, v, w):
    """Trilinear look-up of three channels at fractions of the grid's sides, kept within [0, 1].

    `flat` holds grids [depth, height, width, channel] of this shape behind each other; `page` says which.
    """
    one = np.float32(1)
    depth, height, width = shape
    i, fx = place(u, width)
    j, fy = place(v, height)
    k, fz = place(w, depth)
    across, down = np.uint64(3), np.uint64(3 * width)
    back = down * np.uint64(height)
    start = np.uint64(page) * back * np.uint64(depth) + k * back + j * down + i * across
    a, b, c = np.float32(0), np.float32(0), np.float32(0)
    for corner in range(4):
        second, behind = np.uint64(corner & 1), np.uint64(corner >> 1)
        share = (fy if second else one - fy) * (fz if behind else one - fz)
        at = start + second * down + behind * back
        left, right = share * (one - fx), share * fx
        a += left * flat[at] + right * flat[at + np.uint64(3)]
        b += left * flat[at + np.uint64(1)] + right * flat[at + np.uint64(4)]
        c += left * flat[at + np.uint64(2)] + right * flat[at + np.uint64(5)]
    return a, b, c


@kernel
def look_up(flat, shape, u, v, w):
    """Trilinear look-up of one channel at fractions of the grid's sides; it fades to 0 within a cell outside of it."""
    zero, one = np.float32(0), np.float32(1)
    depth, height, width = shape
    # How much is left at the position's distance from the box, which is 0 or less for most positions.
    outside_x = max(-u, u - one) * np.float32(width - 1)
    outside_y = max(-v, v - one) * np.float32(height - 1)
    outside_z = max(-w, w - one) * np.float32(depth - 1)
    left = (one - max(outside_x, zero)) * (one - max(outside_y, zero)) * (one - max(outside_z, zero))
    if not (outside_x < one and outside_y < one and outside_z < one):
        return zero
    i, fx = place(u, width)
    j, fy = place(v, height)
    k, fz = place(w, depth)
    down = np.uint64(width)
    back = down * np.uint64(height)
    start = k * back + j * down + i
    value = zero
    for corner in range(4):
        second, behind = np.uint64(corner & 1), np.uint64(corner >> 1)
        share = (fy if second else one - fy) * (fz if behind else one - fz)
        at = start + second * down + behind * back
        value += share * ((one - fx) * flat[at] + fx * flat[at + np.uint64(1)])
    return left * value


@kernel
def spread_mass(found, weight, uniform_share, mass):
    """How much each step matters: its weight and its neighbours', and a share spread over the steps that may hold."""
    one = np.float32(1)
    steps = len(found)
    total, holding = np.float32(0), np.float32(0)
    for i in range(steps):
        largest = np.float32(0)
        for j in range(max(i - 1, 0), min(i + 2, steps)):
            largest = max(largest, weight[j])
        mass[i] = largest
        total += largest
        if holds(found, i):
            holding += one
    weight_share = (one - uniform_share) / max(total, np.float32(1e-6))
    even_share = uniform_share / max(holding, one)
    for i in range(steps):
        mass[i] = weight_share * mass[i] + (even_share if holds(found, i) else np.float32(0))


@kernel
def holds(found, i):
    """Whether a step or one of its neighbours found anything."""
    return found[i] > 0 or (i > 0 and found[i - 1] > 0) or (i + 1 < len(found) and found[i + 1] > 0)


@kernel
def draw(mass, enter, step, shares, ray, edges):
    """Edges at the given shares of the mass; see `proxy_sampler.draw_edges`."""
    steps, count = len(mass), shares.shape[1]
    total = np.float32(0)
    for i in range(steps):
        total += mass[i]
    total = max(total, np.float32(1e-12))
    i = 0
    low, high = np.float32(0), mass[0] / total
    for edge in range(count):
        share = shares[ray, edge]
        while high <= share and i + 1 < steps:
            i += 1
            low = high
            high = low + mass[i] / total
        fraction = (share - low) / max(high - low, np.float32(1e-9))
        fraction = min(max(fraction, np.float32(0)), np.float32(1))
        edges[ray, edge] = enter + (np.float32(i) + fraction) * step
