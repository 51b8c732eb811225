"""Words to choose from that no list of objects has: colours, light, textures, faces, bodies, scenes, pictures."""

from __future__ import annotations

WORDS: tuple[str, ...] = tuple(
    word
    for line in (
        # Colours and light.
        "red, orange, yellow, green, cyan, blue, purple, pink, brown, black, white, grey, gold, silver, colourful",
        "bright, dark, shadow, sunlight, reflection, glare, backlight, bright background, dark background, blurry",
        # Textures, patterns and materials.
        "stripes, dots, checkerboard, grid, lattice, plaid, zigzag, spiral, mesh, honeycomb, lace, knitted, woven",
        "wrinkled, smooth, rough, fluffy, furry, scaly, feathers, cracked, bumpy, shiny, transparent, crystals",
        "wood, metal, glass, stone, brick, marble, leather, paper, plastic, fabric, concrete, sand, rust, foam",
        # Faces and bodies.
        "face, eye, eyes, eyebrow, nose, mouth, lips, teeth, smile, ear, cheek, chin, forehead, jaw, neck, skin, head",
        "hair, blond hair, black hair, grey hair, long hair, curly hair, bangs, bald, beard, moustache, stubble",
        "glasses, sunglasses, hat, earrings, necklace, lipstick, make-up, necktie, collar, scarf, hood, helmet",
        "man, woman, child, baby, old person, crowd, hand, finger, arm, leg, foot, shoulder, chest, person",
        "profile of a face, head turned to the side, open mouth, closed eyes, serious face, frown, surprise",
        # Animals and their parts, plants.
        "dog, cat, bird, fish, horse, insect, snout, muzzle, paw, tail, wing, beak, horn, fin, claw, fur, whiskers",
        "tree, leaf, flower, petal, grass, bush, branch, trunk, moss, fruit, vegetable, mushroom, forest",
        # Scenes and surroundings.
        "sky, clouds, sunset, night, snow, ice, rain, fog, fire, smoke, water, sea, waves, river, beach, underwater",
        "mountain, rock, desert, field, garden, road, street, city, building, house, room, kitchen, office, stage",
        "wall, floor, ceiling, window, door, stairs, roof, fence, bridge, tower, table, chair, bed, shelf",
        # Things that many pictures show.
        "car, wheel, truck, train, boat, aeroplane, bicycle, text, letters, numbers, logo, sign, screen, food, plate",
        "bottle, cup, book, clock, ball, toy, tool, rope, pipe, machine, instrument, weapon, flag, shoe",
        # Shapes and how pictures are made.
        "circle, square, triangle, line, vertical lines, horizontal lines, diagonal lines, curve, corner, edge, round",
        "drawing, painting, sketch, cartoon, photograph, black and white photograph, close-up, noise, background",
    )
    for word in line.split(", ")
)
