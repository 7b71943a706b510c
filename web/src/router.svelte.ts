// The address, for components: reading `router.route` follows it.
import { format, parse, patched, toView, type Patch, type Route, type View } from './route';

class Router {
  route: Route = $state.raw(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      // A change of our own is known already.
      if (location.hash !== format(this.route)) this.route = parse(location.hash);
    });
  }

  /** Goes somewhere; back leads to where one was. */
  go(route: Route): void {
    this.route = route;
    if (location.hash !== format(route)) history.pushState(null, '', format(route));
  }

  /** Changes parameters; with `replace` (typing, dragging, panning), back doesn't come by it. */
  patch(patch: Patch, how: { replace?: boolean } = {}): void {
    const route = patched(this.route, patch);
    if (!how.replace) return this.go(route);
    this.route = route;
    history.replaceState(null, '', format(route));
  }

  /** The address of another view, for links. */
  link(view: View, item = '', patch: Patch = {}): string {
    return format(toView(this.route, view, item, patch));
  }

  /** The address of this view with other parameters. */
  linkPatch(patch: Patch): string {
    return format(patched(this.route, patch));
  }
}

export const router = new Router();
