/** What a traced gateway did to the file of its store and to the sockets of its clients. */
import path from 'node:path';
import { parseTrace, plainArguments, stringsOf, type Syscall } from './parse.ts';

interface Span {
  begin: number;
  /** Infinite if the process ended before. */
  end: number;
}

/** Bytes that went into the file. */
export interface StoreWrite extends Span {
  offset: number;
  bytes: Buffer;
  /** True if the file was opened with O_DSYNC, so that the bytes are on the disk at the end. */
  isSynchronous: boolean;
}

/** Bytes that went to a client. */
export interface SocketWrite extends Span {
  /** Number of the connection: how many were accepted before it. */
  connection: number;
  bytes: Buffer;
}

/** A new name in a folder: a file or a folder that was made. */
export interface Creation extends Span {
  path: string;
}

/** The part of a trace that matters for durability. */
export interface Activity {
  writes: StoreWrite[];
  /** Syncs of the whole file. */
  syncs: Span[];
  /** Files and folders that were made above the file and itself, and syncs of their parents. */
  creations: Creation[];
  folderSyncs: (Span & { path: string })[];
  sent: SocketWrite[];
  /** Positions at which connections were accepted, by their numbers. */
  accepted: number[];
}

/** The system calls that have to be in a trace; `?` before a name that not every machine has. */
export const tracedCalls = [
  ...[
    '?open',
    'openat',
    '?creat',
    'close',
    'dup',
    '?dup2',
    'dup3',
    '?accept',
    'accept4',
    '?mkdir',
    'mkdirat',
    '?rename',
    '?renameat',
    '?renameat2',
  ],
  ...['write', 'writev', 'pwrite64', 'pwritev', '?pwritev2', 'sendto', 'sendmsg', 'mmap'],
  ...['lseek', 'fsync', 'fdatasync', 'msync', 'sync_file_range', 'ftruncate', 'fallocate', 'io_uring_setup'],
];

/** An open file or connection; copies of a descriptor share it. */
interface Open {
  path: string | undefined;
  isSynchronous: boolean;
  connection: number | undefined;
  /** Where the next write without an offset goes. */
  position: number;
}

/**
 * Reads the activity from a trace.
 * @param file path of the store's data file
 * @throws RangeError if the file is changed in a way that this reader does not understand
 */
export function readActivity(trace: string, file: string): Activity {
  const calls = [...parseTrace(trace)];
  const renamed = calls.find((call) => isRename(call) && stringsOf(call)[1]?.toString() === file);
  const reader = new Reader(file, renamed === undefined ? undefined : pathOf(renamed));
  for (const call of calls) reader.take(call);
  return reader.activity;
}

function isRename({ name }: Syscall): boolean {
  return name.startsWith('rename');
}

class Reader {
  readonly activity: Activity = {
    writes: [],
    syncs: [],
    creations: [],
    folderSyncs: [],
    sent: [],
    accepted: [],
  };
  readonly #file: string;
  /** The name that the file had before it was renamed. */
  readonly #draft: string | undefined;
  readonly #open = new Map<number, Open>();

  constructor(file: string, draft: string | undefined) {
    this.#file = file;
    this.#draft = draft;
  }

  take(call: Syscall): void {
    // A failed call changed nothing; one that was cut off may have.
    if (call.result !== undefined && call.result < 0) return;
    const [first = '', ...rest] = plainArguments(call);
    const descriptor = Number(first);
    switch (call.name) {
      case 'open':
      case 'openat':
      case 'creat':
        return this.#opened(call);
      case 'mkdir':
      case 'mkdirat':
        return this.#created(call, pathOf(call));
      case 'rename':
      case 'renameat':
      case 'renameat2':
        return this.#created(call, stringsOf(call)[1]!.toString());
      case 'close':
        this.#open.delete(descriptor);
        return;
      case 'accept':
      case 'accept4':
        return this.#acceptedClient(call);
      case 'dup':
      case 'dup2':
      case 'dup3':
        return this.#copied(call, descriptor);
      case 'lseek': {
        const moved = this.#open.get(descriptor);
        if (moved !== undefined) moved.position = call.result!;
        return;
      }
      case 'mmap':
        return this.#mapped(call);
      case 'fsync':
      case 'fdatasync':
        return this.#synced(call, this.#open.get(descriptor));
      case 'io_uring_setup':
        // libuv changes its epoll sets through one ring, and files through another, polled one.
        if (!call.args.includes('IORING_SETUP_SQPOLL')) return;
        throw new RangeError('files are written through io_uring, which is in no trace');
      default:
        return this.#written(call, this.#open.get(descriptor), rest);
    }
  }

  #opened(call: Syscall): void {
    const name = pathOf(call);
    const opened = name === this.#draft ? this.#file : name;
    this.#open.set(call.result!, {
      path: opened,
      isSynchronous: /O_D?SYNC/.test(call.args),
      connection: undefined,
      position: 0,
    });
    if (/O_CREAT/.test(call.args)) this.#created(call, name);
  }

  /** Only the first call with O_CREAT makes the file. */
  #created({ begin, end }: Syscall, made: string): void {
    const isAbove = this.#file === made || this.#file.startsWith(made + path.sep);
    const { creations } = this.activity;
    if (isAbove && !creations.some((creation) => creation.path === made)) {
      creations.push({ path: made, begin, end });
    }
  }

  #acceptedClient(call: Syscall): void {
    const connection = this.activity.accepted.push(call.begin) - 1;
    this.#open.set(call.result!, { path: undefined, isSynchronous: false, connection, position: 0 });
  }

  #copied(call: Syscall, descriptor: number): void {
    const original = this.#open.get(descriptor);
    if (original !== undefined) this.#open.set(call.result!, original);
  }

  #mapped(call: Syscall): void {
    const [, , protection = '', flags = '', descriptor] = plainArguments(call);
    const mapped = this.#open.get(Number(descriptor));
    if (mapped?.path === this.#file && protection.includes('PROT_WRITE') && flags.includes('MAP_SHARED')) {
      throw new RangeError('the file is mapped for writing, and such writes are in no trace');
    }
  }

  #synced({ begin, end }: Syscall, open: Open | undefined): void {
    if (open?.path === undefined) return;
    if (open.path === this.#file) this.activity.syncs.push({ begin, end });
    else if (this.#file.startsWith(open.path + path.sep)) {
      this.activity.folderSyncs.push({ path: open.path, begin, end });
    }
  }

  #written(call: Syscall, open: Open | undefined, rest: string[]): void {
    if (open === undefined || (open.connection === undefined && open.path !== this.#file)) return;
    const { begin, end, result } = call;
    const bytes = Buffer.concat(stringsOf(call)).subarray(0, result);
    if (open.connection !== undefined) {
      this.activity.sent.push({ connection: open.connection, bytes, begin, end });
      return;
    }
    if (!['write', 'writev', 'pwrite64', 'pwritev'].includes(call.name)) {
      throw new RangeError(`${call.name} on the file of the store is not understood`);
    }
    const offset = call.name.startsWith('p') ? Number(rest.at(-1)) : open.position;
    if (!call.name.startsWith('p')) open.position += bytes.length;
    this.activity.writes.push({ offset, bytes, isSynchronous: open.isSynchronous, begin, end });
  }
}

function pathOf(call: Syscall): string {
  return stringsOf(call)[0]!.toString();
}
