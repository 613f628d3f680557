/**
 * Rooms: the folders and files that stand side by side in one folder. A room may import from the
 * rooms below it, and nothing may import upward. There is such an order of rooms exactly when their
 * imports have no circle.
 */
import path from 'node:path';
import type { ImportGraph } from './imports.ts';

/**
 * Arrows among the rooms of one folder: room → the rooms that it imports from, and one import that
 * shows it.
 */
interface Floor {
  folder: string;
  arrows: Map<string, Map<string, string>>;
}

/**
 * Every circle of rooms, each in words with one import for each of its arrows; an empty list means
 * there is none.
 */
export function findCircles(graph: ImportGraph): string[] {
  return floorsOf(graph).flatMap(({ folder, arrows }) =>
    circlesOf(arrows).map((circle) => {
      const steps = circle.map((room, index) => {
        const next = circle[(index + 1) % circle.length] ?? room;
        return `${room} → ${next} (${arrows.get(room)?.get(next)})`;
      });
      return `${folder}: ${steps.join(', ')}`;
    }),
  );
}

/**
 * The rooms of the top folder by layers: a layer imports only from layers behind it in the list.
 * The number of layers is the number of rooms on the longest way down.
 * @throws RangeError if the rooms have a circle
 */
export function layersOf(graph: ImportGraph): string[][] {
  const arrows: Floor['arrows'] =
    floorsOf(graph).find(({ folder }) => folder === '.')?.arrows ?? new Map<string, Map<string, string>>();
  const depths = new Map<string, number>();
  const depthOf = (room: string, above: readonly string[]): number => {
    if (above.includes(room)) throw new RangeError(`${[...above, room].join(' → ')} is a circle`);
    const known = depths.get(room);
    if (known !== undefined) return known;
    const below = [...(arrows.get(room)?.keys() ?? [])].map((next) => depthOf(next, [...above, room]));
    const depth = Math.max(0, ...below) + 1;
    depths.set(room, depth);
    return depth;
  };
  for (const room of arrows.keys()) depthOf(room, []);
  const count = Math.max(0, ...depths.values());
  return Array.from({ length: count }, (_, index) =>
    [...depths].filter(([, depth]) => depth === count - index).map(([room]) => room),
  );
}

/** One floor for each folder that has sources somewhere below it. */
function floorsOf(graph: ImportGraph): Floor[] {
  const floors = new Map<string, Floor>();
  for (const file of graph.keys()) {
    for (const [folder, room] of stepsOf(file)) {
      const floor = floors.get(folder) ?? { folder, arrows: new Map() };
      floors.set(folder, floor);
      if (!floor.arrows.has(room)) floor.arrows.set(room, new Map());
    }
  }
  for (const [file, targets] of graph) {
    for (const target of targets) {
      const { folder, from, to } = partingOf(file, target);
      const arrows = floors.get(folder)?.arrows.get(from);
      if (arrows !== undefined && !arrows.has(to)) arrows.set(to, `${file} imports ${target}`);
    }
  }
  return [...floors.values()];
}

/** `a/b/c.ts` → [['.', 'a'], ['a', 'b'], ['a/b', 'c.ts']] */
function stepsOf(file: string): [folder: string, room: string][] {
  const parts = file.split('/');
  return parts.map((room, index) => [index === 0 ? '.' : parts.slice(0, index).join('/'), room]);
}

/** The folder in which the ways to two files part, and the rooms of it that they go into. */
function partingOf(file: string, target: string): { folder: string; from: string; to: string } {
  const [mine, theirs] = [file.split('/'), target.split('/')];
  const shared = mine.findIndex((part, index) => part !== theirs[index]);
  const folder = path.posix.join('.', ...mine.slice(0, shared));
  return { folder, from: mine[shared] ?? '', to: theirs[shared] ?? '' };
}

/** One circle for each group of rooms that import from each other. */
function circlesOf(arrows: Floor['arrows']): string[][] {
  const reach = new Map([...arrows.keys()].map((room) => [room, reachableFrom(room, arrows)]));
  const seen = new Set<string>();
  const circles: string[][] = [];
  for (const room of arrows.keys()) {
    if (seen.has(room) || reach.get(room)?.has(room) !== true) continue;
    for (const other of arrows.keys()) {
      if (reach.get(room)?.has(other) === true && reach.get(other)?.has(room) === true) seen.add(other);
    }
    circles.push(shortestCircle(room, arrows));
  }
  return circles;
}

function reachableFrom(start: string, arrows: Floor['arrows']): Set<string> {
  const reached = new Set<string>();
  const next = [start];
  for (let room = next.pop(); room !== undefined; room = next.pop()) {
    for (const target of arrows.get(room)?.keys() ?? []) {
      if (!reached.has(target)) next.push(target);
      reached.add(target);
    }
  }
  return reached;
}

function shortestCircle(start: string, arrows: Floor['arrows']): string[] {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const next of arrows.get(way.at(-1) ?? start)?.keys() ?? []) {
      if (next === start) return way;
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  }
  return [start];
}
