/** What every process of the equalizer is started with, whoever starts it: facts of its libraries, no settings of its own. */

/** @param environment of the starter, whose own options of Node are kept */
export function equalizerProcess(
  environment: Readonly<Record<string, string | undefined>>,
): Record<'MALLOC_ARENA_MAX' | 'NODE_OPTIONS', string> {
  // kafkajs arms a timer with a negative time: Node would warn of it in the log of each node.
  const options = [environment['NODE_OPTIONS'], '--disable-warning=TimeoutNegativeWarning'];
  return {
    // Memory that is freed goes back: glibc keeps an arena for every thread otherwise.
    MALLOC_ARENA_MAX: '2',
    NODE_OPTIONS: options.filter((option) => option !== undefined && option !== '').join(' '),
  };
}
