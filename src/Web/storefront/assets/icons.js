// Line icons on a 24-unit grid, drawn here so that a page needs no icon font and no further request.
const shapes = {
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2',
  bag: 'M5 8h14l1 12H4zM8.5 8a3.5 3.5 0 0 1 7 0',
  gate: 'M5 4v16M19 4v16M8 4h8v9H8zM7 17c1.7-1.3 3.3-1.3 5 0s3.3 1.3 5 0',
  check: 'M4.5 12.5l5 5 10-11',
  box: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8',
  pause: 'M8 5v14M16 5v14',
  flag: 'M6 21V4M6 5h12l-3 4 3 4H6',
  warn: 'M12 4l9 16H3zM12 10v4M12 17v.01',
  offline: 'M4 4l16 16M5 12.5a10 10 0 0 1 4-2.6M19 12.5a10 10 0 0 0-3-2.2M8.5 16a5 5 0 0 1 6.5-.5M12 19.5v.01M2 9a15 15 0 0 1 4-2.6M22 9a15 15 0 0 0-11-3.9',
  seal: 'M12 3l2.2 1.7 2.8-.2.8 2.7 2.2 1.7-1 2.6 1 2.6-2.2 1.7-.8 2.7-2.8-.2L12 20l-2.2-1.7-2.8.2-.8-2.7L4 14.1l1-2.6-1-2.6 2.2-1.7.8-2.7 2.8.2zM8.5 11.5l2.5 2.5 4.5-4.5',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  eye: 'M2 12c4-7.5 16-7.5 20 0-4 7.5-16 7.5-20 0zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
  receipt: 'M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6',
  back: 'M14 6l-6 6 6 6M8 12h12',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  cross: 'M6 6l12 12M18 6L6 18',
};

/** A decorative icon: the words beside it carry the meaning. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', shapes[name]);
  svg.append(path);
  return svg;
}
