/**
 * The files that are searched for log events, metrics and error codes: production code of programs
 * and libraries.
 */
export function telemetrySources(files: readonly string[]): string[] {
  return files.filter(
    (file) =>
      /^(services|libs|apps|tools\/mesh)\/.*\/src\/.*\.ts$|^tools\/mesh\/src\/.*\.ts$/.test(file) &&
      !/\.(test|int)\.ts$|\/(testing|conformance)(\/|\.ts$)/.test(file) &&
      // The one place that turns a name into a metric of the library.
      file !== 'libs/runtime/src/metrics.ts',
  );
}
