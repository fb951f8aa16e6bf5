/** The lab's kubelet: runs the pods that are bound to a node, on its containerd. */
export { type Kubelet, startKubelet } from './kubelet.ts';
export type { KubeletOptions, KubeletServerOptions } from './options.ts';
