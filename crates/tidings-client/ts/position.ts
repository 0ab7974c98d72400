/**
 * Whether the position of an id is that of another one, or before it. A hub's ids are `<epoch>-<position>`; those of different
 * epochs, or without a position, are neither before nor after each other.
 */
export function isUpTo(id: string, other: string): boolean {
  const [a, b] = [parse(id), parse(other)];
  if (!a || !b || a.epoch !== b.epoch) return false;
  // Positions are numbers of 64 bits, without leading zeros.
  const difference = a.position.length - b.position.length;
  return difference < 0 || (difference === 0 && a.position <= b.position);
}

export function hasPosition(id: string): boolean {
  return parse(id) !== undefined;
}

function parse(id: string): { epoch: string; position: string } | undefined {
  const found = /^(.+)-(\d+)$/.exec(id);
  return found ? { epoch: found[1] as string, position: found[2] as string } : undefined;
}
