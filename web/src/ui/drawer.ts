/** As wide as a drawer is where it isn't as wide as the page: Drawer.svelte says the same to CSS. */
export const DRAWER = 520;
