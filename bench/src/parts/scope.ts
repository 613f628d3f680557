/** Ends everything that a run has started, in reverse sequence, however the run ends. */

export interface Scope {
  /** Registers a function that ends something; it must be harmless if that has ended already. */
  onEnd(end: () => Promise<void> | void): void;
  /**
   * Ends everything; idempotent. An error does not keep the rest from ending.
   * @throws AggregateError of all errors
   */
  end(): Promise<void>;
}

/** What every run gets, besides its plan. */
export interface RunOptions {
  /** Name of the run, kept in the document. */
  name: string;
  /** Folder for CPU profiles; undefined writes none. */
  profileDir: string | undefined;
  scope: Scope;
  /** Receives one line of progress. */
  say: (line: string) => void;
  /** Receives the folder of all data, which is removed by `scope.end()`. */
  onFolder?: (folder: string) => void;
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
    if (errors.length > 0) throw new AggregateError(errors, 'some parts of the run could not be ended');
  }
  return {
    onEnd: (end) => void ends.push(end),
    end: () => (ended ??= endAll()),
  };
}
