/** containerd for the lab's nodes: its configuration, how it is started, and its root with the lab's images. */
export { type ContainerdCommand, containerdCommand } from './command.ts';
export { type ContainerdOptions, containerdConfig } from './config.ts';
export { type PreparedFolder, prepareContainerdRoot, removeContainerdRoot } from './root.ts';
