/** A child process of the bench: calls come over the IPC channel, and it ends when the channel does. */

/** What the parent sends, and what it gets back. */
export interface Call {
  id: number;
  call: string;
  args: unknown;
}
export interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

/** Answers calls by name. Whatever is thrown goes back to the caller. */
export function serve(handlers: Record<string, (args: never) => unknown>): void {
  process.on('message', (message) => {
    const { id, call, args } = message as Call;
    void answer(id, handlers[call], args);
  });
  // The parent is gone: there is nobody to measure for.
  process.on('disconnect', () => process.exit(0));
  // A Ctrl-C in the terminal is the parent's to handle: it ends its children.
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
