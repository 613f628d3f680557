/**
 * The base of a child process of the bench: it answers calls that come over the IPC channel, and
 * ends when the channel ends.
 */

/** A call of the parent. */
export interface Call {
  id: number;
  call: string;
  args: unknown;
}

/** The answer to the call with the same id. */
export interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

/** Answers calls by name. The message of a thrown error goes back to the caller. */
export function serve(handlers: Record<string, (args: never) => unknown>): void {
  process.on('message', (message) => {
    const { id, call, args } = message as Call;
    void answer(id, handlers[call], args);
  });
  // The parent is gone, so the measurement is over.
  process.on('disconnect', () => process.exit(0));
  // The parent handles a Ctrl-C in the terminal, and ends its children.
  process.on('SIGINT', () => undefined);
  process.send?.({ ready: true });
}

async function answer(
  id: number,
  handler: ((args: never) => unknown) | undefined,
  args: unknown,
): Promise<void> {
  const reply: Answer = { id };
  try {
    if (handler === undefined) throw new RangeError('no such call');
    reply.result = await handler(args as never);
  } catch (error) {
    reply.error = error instanceof Error ? error.message : String(error);
  }
  process.send?.(reply);
}
