export * from './documents.ts';
export * from './story.ts';
export * from './story-tests.ts';
export * from './temporary-folder.ts';
export * from './until.ts';
