import pytest

from monitord.container import Container, provide


class Engine:
    def __init__(self, power: int) -> None:
        self.power = power


class Car:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Garage(Container):
    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power
        self.built: list[str] = []

    @provide
    def engine(self) -> Engine:
        """What drives the car."""
        self.built.append("engine")
        return Engine(self.power)

    @provide
    def car(self) -> Car:
        self.built.append("car")
        return Car(self.engine)

    @provide
    def nothing(self) -> None:
        self.built.append("nothing")

    @provide
    def hen(self) -> object:
        return self.egg

    @provide
    def egg(self) -> object:
        return self.hen

    @provide
    def flaky(self) -> Engine:
        self.built.append("flaky")
        if len(self.built) == 1:
            raise OSError("not yet")
        return self.engine


def test_nothing_is_built_before_it_is_used() -> None:
    assert Garage(1).built == []


def test_a_part_is_built_once_with_what_it_needs() -> None:
    garage = Garage(90)
    car = garage.car
    assert car.engine.power == 90
    assert garage.car is car
    assert garage.engine is car.engine
    assert garage.built == ["car", "engine"]


def test_a_part_that_is_none_is_built_once_as_well() -> None:
    garage = Garage(1)
    assert [garage.nothing, garage.nothing] == [None, None]
    assert garage.built == ["nothing"]


def test_containers_share_no_parts() -> None:
    assert Garage(1).engine is not Garage(1).engine


def test_an_override_is_used_by_every_part() -> None:
    garage = Garage(90)
    engine = Engine(1)
    garage.override(Garage.engine, engine)
    assert garage.car.engine is engine
    assert garage.built == ["car"]


def test_a_part_is_overridden_once() -> None:
    garage = Garage(90)
    garage.override(Garage.engine, Engine(1))
    with pytest.raises(RuntimeError, match="engine is built already"):
        garage.override(Garage.engine, Engine(2))
    assert garage.engine.power == 1


@pytest.mark.parametrize("overridden", [False, True])
def test_what_is_in_use_cannot_be_overridden(*, overridden: bool) -> None:
    garage = Garage(90)
    if overridden:
        garage.override(Garage.engine, Engine(1))
    held = garage.engine
    with pytest.raises(RuntimeError, match="engine is built already"):
        garage.override(Garage.engine, Engine(2))
    assert garage.engine is held


def test_a_loop_of_parts_is_named() -> None:
    with pytest.raises(RuntimeError, match="loop: hen -> egg -> hen"):
        _ = Garage(1).hen


def test_a_part_that_could_not_be_built_can_be_tried_again() -> None:
    garage = Garage(90)
    with pytest.raises(OSError, match="not yet"):
        _ = garage.flaky
    assert garage.flaky is garage.engine


def test_a_part_is_known_by_its_name_and_text() -> None:
    assert Garage.engine.name == "engine"
    assert Garage.engine.__doc__ == "What drives the car."
