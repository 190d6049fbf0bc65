"""New names of chemical elements, letter by letter: a network that reads the last four letters."""

import os

import numpy as np

import chainrule as cr

ELEMENTS = """
hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon sodium magnesium
aluminium silicon phosphorus sulfur chlorine argon potassium calcium scandium titanium vanadium
chromium manganese iron cobalt nickel copper zinc gallium germanium arsenic selenium bromine krypton
rubidium strontium yttrium zirconium niobium molybdenum technetium ruthenium rhodium palladium
silver cadmium indium tin antimony tellurium iodine xenon caesium barium lanthanum cerium
praseodymium neodymium promethium samarium europium gadolinium terbium dysprosium holmium erbium
thulium ytterbium lutetium hafnium tantalum tungsten rhenium osmium iridium platinum gold mercury
thallium lead bismuth polonium astatine radon francium radium actinium thorium protactinium uranium
neptunium plutonium americium curium berkelium californium einsteinium fermium mendelevium nobelium
lawrencium rutherfordium dubnium seaborgium bohrium hassium meitnerium darmstadtium roentgenium
copernicium nihonium flerovium moscovium livermorium tennessine oganesson
"""
NAMES = ELEMENTS.split()
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # a dot stands before a name, and ends it
WINDOW = 4

# One example for each letter of each name: the four letters before it, and the letter.
before, after = [], []
for name in NAMES:
    padded = [LETTERS.index(letter) for letter in "." * WINDOW + name + "."]
    for end in range(WINDOW, len(padded)):
        before.append(padded[end - WINDOW : end])
        after.append(padded[end])

letters = cr.input("letters", (WINDOW,), dtype="int32")
vectors = cr.embedding(letters, len(LETTERS), 8, name="vectors")  # (N, 4, 8)
h = cr.dense(cr.flatten(vectors), 64, "tanh", name="hidden")
logits = cr.dense(h, len(LETTERS), name="logits")
target = cr.input("next", (), dtype="int32")

model = cr.Model(outputs=cr.softmax(logits), loss=cr.cross_entropy(logits, target), seed=0)
model.fit(
    {"letters": np.array(before), "next": np.array(after)},
    optimizer=cr.Adam(cr.schedules.Cosine(0.01)),
    epochs=int(os.environ.get("EPOCHS", "40")),
    validation=None,  # all names are to be learned
)

# Ten names at once: the network says how likely each letter comes next, and a draw decides.
generator = np.random.default_rng(0)
names = np.zeros((10, WINDOW), int)
for _ in range(14):
    chances = model.predict({"letters": names[:, -WINDOW:]}).astype(float)
    drawn = [generator.choice(len(LETTERS), p=row / row.sum()) for row in chances]
    names = np.column_stack([names, drawn])
for row in names:
    name = "".join(LETTERS[letter] for letter in row[WINDOW:]).split(".")[0]
    print(name, "(an element)" if name in NAMES else "")
