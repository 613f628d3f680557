/** Environment that the libraries of the equalizer need, for every process that starts it. */

/** @param environment of the starting process; its own NODE_OPTIONS are kept */
export function equalizerProcess(
  environment: Readonly<Record<string, string | undefined>>,
): Record<'MALLOC_ARENA_MAX' | 'NODE_OPTIONS', string> {
  // kafkajs starts a timer with a negative time, of which Node would warn in the log of each node.
  const options = [environment['NODE_OPTIONS'], '--disable-warning=TimeoutNegativeWarning'];
  return {
    // By default glibc keeps an arena for every thread and does not return freed memory.
    MALLOC_ARENA_MAX: '2',
    NODE_OPTIONS: options.filter((option) => option !== undefined && option !== '').join(' '),
  };
}
