import tseslint from 'typescript-eslint';
import { plugin } from './tools/tidy/boundaries.mjs';

const idiom = [
  {
    selector: ':matches(PropertyDefinition, MethodDefinition, AccessorProperty)[accessibility="private"]',
    message: 'Write #name: a private member is private at run time too.',
  },
  {
    selector: 'ObjectExpression > SpreadElement > ObjectExpression',
    message: 'Write the properties themselves.',
  },
];

/** What makes a function's result depend on more than its arguments. */
const impure = {
  globals: [
    ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'crypto'],
    ...['process', 'console', 'fetch', 'WebSocket'],
  ],
  builtins: [
    ...['child_process', 'dgram', 'dns', 'fs', 'fs/promises', 'http', 'http2', 'https', 'net', 'os'],
    ...['perf_hooks', 'process', 'readline', 'timers', 'timers/promises', 'tls'],
    ...['worker_threads'],
  ],
};

export default tseslint.config(
  { ignores: ['**/node_modules/**', '.mesh/**', '.nx/**'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeCheckedOnly, tseslint.configs.eslintRecommended],
    languageOptions: {
      parser: tseslint.parser,
      // One program over all packages: a tenth of the time of a program for each.
      parserOptions: { project: ['./tsconfig.json'], tsconfigRootDir: import.meta.dirname },
    },
    plugins: { thermomesh: plugin },
    rules: {
      'thermomesh/boundaries': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', ...idiom],
    },
  },
  {
    // core/ decides; clocks, randomness, timers and I/O are handed in (ARCHITECTURE.md).
    files: ['{services,apps}/*/src/**/core/**/*.ts'],
    ignores: ['**/*.test.ts', '**/*.int.ts', '**/{testing,conformance}/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...impure.globals.map((name) => ({ name, message: 'core/ is pure: take it as an argument.' })),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'core/ is pure: take the time as an argument.' },
        { object: 'Math', property: 'random', message: 'core/ is pure: take a random source.' },
      ],
      'no-restricted-syntax': [
        'error',
        ...idiom,
        {
          selector: 'NewExpression[callee.name="Date"][arguments.length=0]',
          message: 'core/ is pure: take the time as an argument.',
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...impure.builtins.map((name) => ({ name: `node:${name}`, message: 'core/ is pure.' })),
            {
              name: 'node:crypto',
              importNames: ['randomBytes', 'randomInt', 'randomUUID', 'webcrypto'],
              message: 'core/ is pure: take the id as an argument.',
            },
            {
              name: '@thermomesh/runtime',
              importNames: ['createBackoff', 'raceTimeout', 'sleep'],
              message: 'core/ is pure: waiting is done outside.',
            },
          ],
          patterns: [{ group: ['**/adapters/**', '**/http/**'], message: 'core/ knows ports only.' }],
        },
      ],
    },
  },
  {
    // node:test's describe/it/test return promises that the runner itself awaits; suites are long
    // by nature.
    files: [
      '**/*.test.ts',
      '**/*.int.ts',
      '**/*.e2e.ts',
      '**/conformance/**/*.ts',
      'libs/testing/src/**/*.ts',
    ],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      'max-lines-per-function': 'off',
    },
  },
);
