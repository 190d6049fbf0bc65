"""One training step of a small network by hand: every value, every gradient, the update."""

import chainrule as cr

x = cr.input("x", (2,), dtype="float64")
t = cr.input("t", (1,), dtype="float64")
W1 = cr.parameter("W1", [[3.7, 2.9], [3.7, 2.9]], dtype="float64")
b1 = cr.parameter("b1", [-1.5, -4.5], dtype="float64")
W2 = cr.parameter("W2", [[4.5], [-5.2]], dtype="float64")
b2 = cr.parameter("b2", [-2.0], dtype="float64")

h = cr.sigmoid(x @ W1 + b1).named("h")
y = cr.sigmoid(h @ W2 + b2).named("y")
error = (cr.sum((t - y) ** 2) / 2).named("E")

example = {"x": [[1.0, 0.0]], "t": [[1.0]]}
trace = cr.run([y, error], example)
trace.backward(error)
for step in trace.steps():
    print(step)

lesson = cr.Model(outputs=y, loss=error)
lesson.fit(example, optimizer=cr.SGD(10.0), batch_size=1, epochs=1, validation=None, verbose=False)
print("\nAfter one step with the rate 10:")
for name, value in lesson.values.items():
    print(f"{name} = {value.tolist()}")
