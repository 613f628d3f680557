/**
 * Reads what `strace -f -xx` writes: one system call a line, or two lines if calls of other threads
 * came between its begin and its end.
 *
 * strace lets a thread go on only after it has written down where it stopped. So a call that ended
 * on an earlier line than another one began has really ended before it.
 */

/** One finished system call, or one that the end of the process cut off. */
export interface Syscall {
  thread: number;
  name: string;
  /** The arguments as strace writes them, without the brackets around them. */
  args: string;
  /** Undefined if the process ended during the call. */
  result: number | undefined;
  /** Position of its begin in the trace; grows with time. */
  begin: number;
  /** Position of its end; infinite if the process ended during the call. */
  end: number;
}

const line = /^(\d+) +(.*)$/;
const started = /^(\w+)\((.*)$/s;
const resumed = /^<\.\.\. (\w+) resumed>(.*)$/s;
const unfinished = ' <unfinished ...>';
const finished = /^(.*)\) += (-?\d+|0x[0-9a-f]+|\?)(?: .*)?$/s;

/** Reads a trace. Lines about signals and the ends of threads are skipped. */
export function parseTrace(text: string): Syscall[] {
  const calls: Syscall[] = [];
  const open = new Map<number, Syscall>();
  text.split('\n').forEach((row, index) => {
    const [, pid, rest = ''] = line.exec(row) ?? [];
    if (pid === undefined) return;
    const thread = Number(pid);
    const more = resumed.exec(rest);
    if (more !== null) {
      finish(open.get(thread), more[2]!, index);
      open.delete(thread);
      return;
    }
    const [, name, tail] = started.exec(rest) ?? [];
    if (name === undefined || tail === undefined) return;
    const call = { thread, name, args: '', result: undefined, begin: 2 * index, end: Infinity };
    calls.push(call);
    if (tail.endsWith(unfinished)) {
      call.args = tail.slice(0, -unfinished.length);
      open.set(thread, call);
    } else finish(call, tail, index);
  });
  return calls;
}

function finish(call: Syscall | undefined, tail: string, index: number): void {
  if (call === undefined) throw new RangeError(`line ${index + 1} ends a call that did not begin`);
  const [, args, result] = finished.exec(tail) ?? [];
  if (args === undefined) throw new RangeError(`line ${index + 1} has no result: ${tail.slice(-80)}`);
  call.args += args;
  if (result === '?') return;
  call.result = Number(result);
  call.end = 2 * index + 1;
}

const quoted = /"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g;

/**
 * The strings among the arguments of a call, as bytes: the name of a file, or the buffers of a
 * write in their order.
 * @throws RangeError if strace has cut a string off
 */
export function stringsOf({ name, args }: Pick<Syscall, 'name' | 'args'>): Buffer[] {
  return [...args.matchAll(quoted)].map(([, hex = '', cut]) => {
    if (cut !== undefined) throw new RangeError(`a string of ${name} is cut off in the trace`);
    return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
  });
}

/** The arguments of a call without its strings and structures. */
export function plainArguments({ args }: Pick<Syscall, 'args'>): string[] {
  const text = args.replace(quoted, 'string').replace(/[[{].*[\]}]/s, 'structure');
  return text.split(', ');
}
