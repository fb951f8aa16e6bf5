export { runAgent } from './agent.ts';
