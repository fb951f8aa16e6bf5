/** What tests of clients stand on. */
export * from './clock.fixture.ts';
export * from './eventually.fixture.ts';
export * from './watched-api.fixture.ts';
