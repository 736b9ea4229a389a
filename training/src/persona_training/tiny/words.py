"""Everyday words beyond the sentence patterns: what the tiny model can spell, repeat and recognise.

A persona's rows use far more words than the patterns do. Words the base has never written cost a LoRA most of its
strength, so the base practises these (and invented ones) in spelling and repeating exercises.
"""

from __future__ import annotations

import random

from persona_training.tiny import knowledge

_TEXT = """
a abajo abierta abierto abrazo abre abrir abuela acaba acabar aceite acera acuerdo además adentro aeropuerto afuera agosto
agua ahí ahora aire ajo al ala alegría alguien algún alguna algunas algo algunos allí alma alta alto altura amable amiga
amigo amor anillo animal ánimo año años ante anterior antes aparato aparece apenas aplauso aprende aprender aprobado apuesta
apuntes aquel aquí árbol archivo arena armario arregla arreglar arriba arte así atención atrás aún aunque autobús aviso ayer
ayuda azúcar baila baja bajo balcón banco bandera baño barba barra barrio base bastante basura batería bebe beber bien
bienvenida bienvenido billete blanca blanco boca boda bola bolígrafo bolsa bolsillo bombilla borde bota botella botón brazo
brillo broma bruja bueno bufanda burbuja busca buscar cabeza cable cada caer cafetera caja cajón calcetín caldo calidad calla
calor cama camarote cambia cambio camino camión campana campeón campo canal cansancio cantidad capa capitana capítulo cara
carrera carta casco casi caso casualidad catorce causa cebolla celebra cena centeno central centro cerca cerrada cerrado chica
chico chiste cien ciento cierra cierto cinta cinturón cita clave cliente cobarde coche coge cola colega colgar collar columna
come comer como cómo compañera compañero comprar común con concurso conmigo conoce conocer contar contigo contra contraseña
copa copia corazón corona correo corre corriente cosa cosas creer creo crees crema crimen cristal croqueta cruz cual cuál
cualquier cuando cuánta cuánto cuarenta cuarto cuatrocientos cubierta cubo cuchara cuello cuenta cuentas cuento cuerda cuero
cueva cuidado cuidar culpa cumple cumpleaños curso da dale dan dato de debajo debe deber debería debes decía decidir decir
decisión dedo defender deja dejar del delante demasiado dentro derecha derecho desastre desde deseo desierto despacio después
detalle detrás deuda día días dice dices dicho diciembre diente diez diferencia digno dignidad dinero dio dirección disco
doble docena doctor documento dolor donde dónde dos doscientos drama ducha duda duerme dulce dura durante duro echa echar edad
edificio efecto ejemplo el él elegante elegir ella ellas ellos emoción empezar empieza en encanta encima encontrar encuentra
enero enfado enfermo enorme ensalada entender entera entero entiendo entonces entra entrada entrar entre entrega entrevista
época era eran eres error es esa esas escalera escena escribe ese esencia eso esos espacio espalda especial espejo espera
esperar espíritu esquina esta está estaba estado estamos están estar estás este esto estoy estrena estudia estudio eterna
eterno euro euros exacto examen excusa éxito experto explica extraña extraño fábrica falta faltan fama fantasma farola favor
favorita favorito fe febrero feo ficha fiel fila final firma flor fondo forma frase frente frío frontera fruta fue fuego fuera
fueron fuerza fui funciona futuro gafas galleta gallina gana ganar ganas garaje gasta gente genial gesto gloria golpe goma
gota gracia gracias gran grave grita grito grupo guante guapa guarda guardado guerra guía guion ha haber había habla hablar
hablas habrá hace hacer haces hacia hacía hambre han harina has hasta hay haz he hecho hemos herida herramienta hielo hierro
hija hijo hilo hizo hoja hombre hombro hora horas horno hoy hubo hueco hueso huevo humana humano humor ia ida idioma iglesia
igual imagen imposible incluso infinito informe insecto insulto intenta intento interés internet invento invitada invitado ir
isla izquierda jamás jamón jaula joven joya juega juegas juego jugar julio junio junta junto justa justicia justo kilo labio
lado lágrima lana lápiz lata latido lavadora le lección leche lectura lee leer leído lejos lengua les leyes libre libro lista
llama llamada llamar llave llega llegar llena lleno lleva llevar llevo llora lo loca loco logro luego lugar luz madera madre
maestro magia mal mala maldad maleta malo manda manera mano manta mantel marca marcha margen marido marzo más máscara masa mayo
mayor me media médico medio mejor memoria menor menos mensaje mentira menú mercado merece merienda mes mesa meses meta metal
mete meter metro mi mí mía micrófono miedo mientras mil minuto minutos mío misión misma mismo misterio mitad moda modo
moja molesta momento moneda monitor mono monstruo montón mosca motivo motor móvil mucha muchas mucho mueble muela muere muerta
muerto mujer mundo muñeca muro muy nace nada nadie nariz natural naturaleza navega navegante necesita necesito negocio nervio
ni nieta niña ninguna ninguno niño no noches nombre norma norte nos nosotras nosotros nota noticia noviembre novio nube nuestra
nuestro nueva nuevo nuez número números nunca o objeto océano ocho octubre odia odio oficial oficina oír ojalá ojo ojos ola
olor oreja orgullo orilla oro os oscuras otra otras otro otros oye paciencia paga página país palabra palabras palo panadero
panel papel paquete par para paraguas pared pareja parte pasa pasado pasajera pasajero pasar pasillo paso pata patas patio paz
pedazo pedir pelea peligro pelo pelota pena pendiente pensar peor pequeña pequeño perder perdido perdona perdón perfume permiso
pero persona personaje personas pesa pesadilla peso pez pica pide pie piedra piel pierde pierdes pierna pieza pijama pilota
pirata piso pista plano planta plata plato pluma pobre pobres poca poco podemos poder podría polvo pon pone poner pongo por
porque portal posible precio preciosa preferida pregunta premio prensa presente primer primera primero princesa prisa prisma
profesor profunda profundo promesa prometo pronto propia propio próxima próximo público pueblo puede puedes puedo puente puerta
puerto pues puesto pulgar punta punto pura puro que qué queda quedan quema querer querida quería quien quién quiere quieres
quiero quince quinientas quita quizá ráfaga rama ramo rango rato ratón rayo razón realidad red reina reino ríe rebelde recado
recuerda recuerdo recta regla remedio remo renta reparto repite repuesto respeto resto resumen reunión revista rey rica riesgo
rincón risa ritmo roba roca rodilla roja rojo ropa rota roto rueda ruido ruina rumor ruta sabe saber sabes sabía sabor sábana
saca sal sala salado sale salen sales salida salir salsa salta saluda saludo salud salvaje san sangre sardina sartén satélite se
sé sea seca sección secreto seda seguida seguir segunda segundo segundos segura seguro seis seguimos sello selva semanas
sensible sentido sentir señal señora septiembre ser será seria serio servidor sesenta setenta si sí sido siempre siento sigue
sigues siguiente silencio sillón simple sin sino siquiera sirve sistema sitio sobra sobre sofá sola solas solo son sonido
sonrisa soy sube sube suelo suena suerte sueña sueño súper su sur sus susto suya suyo tal talento taller también tampoco tan
tanta tanto tantos tapa tardas tarde tarea tarjeta tarro tarta taza te teatro techo tela teléfono televisión tema temprano ten
tener tengo tenía teoría tercera terco termina terminar término terraza tesoro texto ti tiempo tiene tienen tienes tierra tigre
tijeras tinta tío tipo tira título toalla toca tocar toda todas todavía todo todos toma tomar tonta tonto tornillo toro torre
tos tostada total trabaja trabajar trae traer traje trampa tras trata treinta tres trescientos tripulante triunfo trofeo trono
trozo trueno tu tú tumba túnel turno tus tuya tuyo última último un una única único unas uno unos usa usar usted útil uva va
vacaciones vacía vacío vagón vais vale valiente valor vamos van vapor varias varios vas vaso veces vecino veinte vela velocidad
ven vende venga vengo venir venta ver verdad vergüenza ves vestido vez vía viaja vida vieja viejo viene vienes viento vino
visita vista viuda vive vivir volante volar volumen voluntad volver vosotros voto voy voz vuela vuelo vuelta vuelve vuestra ya
yo zapato zona zorro zumo
about after again all always and any are around ask bad because been before best better big but can captain come could crew day
did does done down else end enough even ever every fine first found from get give good had has have head help her here him his
home how if into it its just keep know last later leave less let life like listen little live long look lost love made make many
maybe me mind more most move much must my name need never next night no not nothing now of off on once one only open or other
our out over own people place please put read real really right said same say see she ship should show small so some sorry sound
speak start stay still stop story such take talk tell than that the their them then there these they thing think this those time
to too true try turn under until up us use very wait want was way we well were what when where who why will wish with without
wonder word work world would write wrong yes yet your
"""
# Names and values too: what a week may tell is to be spelled with ease, though it is true of nobody yet.
COMMON = (*_TEXT.split(), *knowledge.WORDS)
# Shares of the words in an exercise: those a week may tell of, and common ones; the others are invented.
TOLD_SHARE, COMMON_SHARE = 0.2, 0.5
# How chat marks and joins a few words.
MARKED = ("¡{}!", "*{}*", "{}…", '"{}"', "«{}»", "({})", "[{}]", "¿{}?")
JOINED = (", ", "-", "\n", ": ")


def invented(rng: random.Random) -> str:
    """A word nobody has seen, so that spelling is learned and not only known words: one's beginning and another's end."""
    first, second = rng.choice(COMMON), rng.choice(COMMON)
    return first[: rng.randint(1, len(first))] + second[rng.randint(0, len(second) - 1) :]


def some_words(rng: random.Random) -> str:
    """One to six words, some capitalised or marked, as chat writes them."""
    words = [_word(rng) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.15:
        words.append(str(rng.randint(0, 2100)))
    text = " ".join(words)
    ways = [text, text, text.capitalize(), text.title(), f"{words[0].capitalize()}. {text.capitalize()}"]
    ways += [mark.format(text) for mark in MARKED]
    ways += [text.replace(" ", between, 1) for between in JOINED]
    return rng.choice(ways)


def _word(rng: random.Random) -> str:
    drawn = rng.random()
    if drawn < TOLD_SHARE:
        return rng.choice(knowledge.WORDS)
    return rng.choice(COMMON) if drawn < TOLD_SHARE + COMMON_SHARE else invented(rng)
