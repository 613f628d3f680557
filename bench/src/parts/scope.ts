/** What was started and has to be ended, in reverse order, whatever happens. */

export interface Scope {
  /** Registers how something ends; ends of what has ended already must be harmless. */
  onEnd(end: () => Promise<void> | void): void;
  /** Ends everything; idempotent. Errors are collected, so that one does not keep the rest alive. @throws AggregateError */
  end(): Promise<void>;
}

export function createScope(): Scope {
  const ends: (() => Promise<void> | void)[] = [];
  let ended: Promise<void> | undefined;
  async function endAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
      try {
        await end();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be ended');
  }
  return {
    onEnd: (end) => void ends.push(end),
    end: () => (ended ??= endAll()),
  };
}
