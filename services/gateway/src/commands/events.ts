/** Server-sent events of commands: the present status, then each further one that is seen. */
import { PassThrough, type Readable } from 'node:stream';
import { createPollingWatch } from '@thermomesh/runtime';
import type { CommandStatus } from '@thermomesh/contracts';
import { viewOf, type Command } from './core/command.ts';
import { isOpen } from './core/lifecycle.ts';
import type { CommandStore } from './core/ports.ts';

/** Which limit is reached: that of all streams, or that of one caller. */
export type TooMany = 'streams' | 'streams_of_caller';

export interface CommandStreams {
  /** @returns the name of the limit if it is reached */
  open(caller: string, command: Command): Readable | TooMany;
  /** Ends all streams; their clients reconnect. */
  close(): void;
  readonly size: number;
}

export interface CommandStreamsOptions {
  store: Pick<CommandStore, 'byIds'>;
  streamsMax: number;
  streamsPerCallerMax: number;
  heartbeatMs: number;
  watchIntervalMs: number;
  onError: (error: unknown) => void;
}

/** A command in a status from which a caller waits for it to go on. */
interface Known {
  commandId: string;
  status: CommandStatus;
}

const reconnectMs = 1_000;
const textOf = ({ commandId, status }: Known) => `${commandId} ${status}`;

export function createCommandStreams(options: CommandStreamsOptions): CommandStreams {
  const { store, streamsMax, streamsPerCallerMax, heartbeatMs } = options;
  const streams = new Map<PassThrough, string>();
  const watch = createPollingWatch<Known, { known: Known; command: Command }>({
    pollMs: options.watchIntervalMs,
    keyText: textOf,
    async find(keys) {
      const rows = await store.byIds([...new Set(keys.map(({ commandId }) => commandId))]);
      const byId = new Map(rows.map((command) => [command.commandId, command]));
      return keys.flatMap((known) => {
        const command = byId.get(known.commandId);
        return command === undefined || command.status === known.status ? [] : [{ known, command }];
      });
    },
    foundText: ({ known }) => textOf(known),
    onError: options.onError,
  });

  async function follow(stream: PassThrough, first: Command): Promise<void> {
    const gone = new AbortController();
    // Comments show proxies that the connection is alive, and find clients that are gone.
    const heartbeat = setInterval(() => stream.write(': \n\n'), heartbeatMs);
    stream.once('close', () => {
      clearInterval(heartbeat);
      gone.abort();
    });
    let { commandId, status } = first;
    while (isOpen(status)) {
      const found = await watch.wait({ commandId, status }, { signal: gone.signal });
      if (found === undefined || !stream.writable) return;
      ({ commandId, status } = found.command);
      stream.write(frame(found.command));
    }
    stream.end();
  }

  return {
    get size() {
      return streams.size;
    },
    open(caller, command) {
      const own = [...streams.values()].filter((one) => one === caller).length;
      if (own >= streamsPerCallerMax) return 'streams_of_caller';
      if (streams.size >= streamsMax) return 'streams';
      const stream = new PassThrough();
      streams.set(stream, caller);
      stream.once('close', () => streams.delete(stream));
      stream.write(`retry: ${reconnectMs}\n\n${frame(command)}`);
      void follow(stream, command);
      return stream;
    },
    close() {
      for (const stream of streams.keys()) stream.end();
    },
  };
}

/** The id of an event is the status: a client that has the final one need not reconnect. */
function frame(command: Command): string {
  return `id: ${command.status}\nevent: status\ndata: ${JSON.stringify(viewOf(command))}\n\n`;
}
