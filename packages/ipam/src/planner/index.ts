export * from './node-shape.ts';
export * from './rest.ts';
export * from './similar-types.ts';
