/** Which member leads which partition. Pure. */

/** Per partition the member that shall lead it; undefined while there is none. */
export type Assignment = readonly (string | undefined)[];

/**
 * Balanced (no two members differ by more than one), and with as few moves as that allows: everybody keeps what it has up to its
 * share, and the larger shares go to those who have most. The same arguments give the same result, whatever the order of members.
 */
export function assign(previous: Assignment, members: readonly string[], partitions: number): Assignment {
  if (members.length === 0) return Array.from({ length: partitions }, () => undefined);
  const had = new Map<string, number[]>([...new Set(members)].sort().map((member) => [member, []]));
  for (let partition = 0; partition < partitions; partition += 1) {
    const owner = previous[partition];
    if (owner !== undefined) had.get(owner)?.push(partition);
  }
  const byHoldings = [...had].sort(([, left], [, right]) => right.length - left.length);
  const share = Math.floor(partitions / had.size);
  const larger = partitions % had.size;
  const result = new Array<string | undefined>(partitions).fill(undefined);
  const wanting: string[] = [];
  for (const [index, [member, held]] of byHoldings.entries()) {
    const quota = share + (index < larger ? 1 : 0);
    for (const partition of held.slice(0, quota)) result[partition] = member;
    for (let missing = held.length; missing < quota; missing += 1) wanting.push(member);
  }
  let next = 0;
  return result.map((owner) => owner ?? wanting[next++]);
}
