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
        """The engine of the car."""
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


def test_part_is_constructed_at_its_first_use() -> None:
    assert Garage(1).built == []


def test_part_is_constructed_once_with_its_dependencies() -> None:
    garage = Garage(90)
    car = garage.car
    assert car.engine.power == 90
    assert garage.car is car
    assert garage.engine is car.engine
    assert garage.built == ["car", "engine"]


def test_part_that_is_none_is_constructed_once() -> None:
    garage = Garage(1)
    assert [garage.nothing, garage.nothing] == [None, None]
    assert garage.built == ["nothing"]


def test_containers_share_no_parts() -> None:
    assert Garage(1).engine is not Garage(1).engine


def test_override_is_used_by_every_part() -> None:
    garage = Garage(90)
    engine = Engine(1)
    garage.override(Garage.engine, engine)
    assert garage.car.engine is engine
    assert garage.built == ["car"]


def test_part_can_be_overridden_once() -> None:
    garage = Garage(90)
    garage.override(Garage.engine, Engine(1))
    with pytest.raises(RuntimeError, match="engine already exists"):
        garage.override(Garage.engine, Engine(2))
    assert garage.engine.power == 1


@pytest.mark.parametrize("overridden", [False, True])
def test_existing_part_cannot_be_overridden(*, overridden: bool) -> None:
    garage = Garage(90)
    if overridden:
        garage.override(Garage.engine, Engine(1))
    held = garage.engine
    with pytest.raises(RuntimeError, match="engine already exists"):
        garage.override(Garage.engine, Engine(2))
    assert garage.engine is held


def test_cycle_of_parts_is_reported() -> None:
    with pytest.raises(RuntimeError, match="cycle: hen -> egg -> hen"):
        _ = Garage(1).hen


def test_failed_construction_can_be_retried() -> None:
    garage = Garage(90)
    with pytest.raises(OSError, match="not yet"):
        _ = garage.flaky
    assert garage.flaky is garage.engine


def test_part_has_the_name_and_docstring_of_its_method() -> None:
    assert Garage.engine.name == "engine"
    assert Garage.engine.__doc__ == "The engine of the car."
