// Plays the world around the state machine: random long games, and all short ones.

import { SERIES, World } from "./session_model.js";

// Mulberry32: the same seed, the same moves.
function dice(seed) {
  let state = seed >>> 0;
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  };
}

// Plays random moves, then lets the server answer; gives what went wrong with the moves to it.
export function playAtRandom(machine, seed, length) {
  const roll = dice(seed);
  const world = new World(machine);
  try {
    world.send({ type: "choose", series: SERIES[roll(SERIES.length)] });
    for (let move = 0; move < length; move += 1) {
      const choices = roll(2) ? world.progress() : world.choices();
      if (choices.length) choices[roll(choices.length)]();
    }
    world.heal();
  } catch (error) {
    return `${error.message} (seed ${seed}): ${world.moves.slice(-30).join(" ")}`;
  }
  return null;
}

// Plays every sequence of so many moves, each from the beginning; gives what went wrong, and how many.
export function playAll(machine, depth) {
  let count = 0;
  const play = (places) => {
    const world = new World(machine);
    try {
      world.send({ type: "choose", series: SERIES[0] });
      for (const place of places) world.choices()[place]();
      const sides = world.choices().length;
      world.heal();
      count += 1;
      return sides;
    } catch (error) {
      throw new Error(`${error.message}: ${world.moves.join(" ")}`);
    }
  };
  const extend = (places) => {
    const sides = play(places);
    if (places.length < depth) for (let place = 0; place < sides; place += 1) extend([...places, place]);
  };
  try {
    extend([]);
  } catch (error) {
    return { wrong: error.message, count };
  }
  return { wrong: null, count };
}
