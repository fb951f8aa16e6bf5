/** What cannot be done yet, because something else is still on its way: no failure, but to be tried again soon. */
export class NotYet extends Error {
  override readonly name = 'NotYet';
}
